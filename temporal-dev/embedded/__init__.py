"""The embedded stack: everything skeebot needs to run on one machine, without root and without a container.

`tools` finds or fetches the programs, `processes` keeps them on a leash, `mysql` and `temporal` start the servers,
`seed` fills them and writes to them, and `stack` puts it all together.
"""
