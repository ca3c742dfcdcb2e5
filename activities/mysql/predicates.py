"""What a MySQL error means, by its number; so that no number stands where a decision is made.

Numbers: MySQL 9 reference manual, "Server Error Message Reference" and "Client Error Message Reference".
"""

import pymysql.err


def error_number(wrong: BaseException) -> int:
    """MySQL's number of an error, 0 where there is none."""
    if isinstance(wrong, pymysql.err.MySQLError) and wrong.args and isinstance(wrong.args[0], int):
        return wrong.args[0]
    return 0


def error_text(wrong: BaseException) -> str:
    """MySQL's own words."""
    if isinstance(wrong, pymysql.err.MySQLError) and len(wrong.args) > 1:
        return str(wrong.args[1])
    return str(wrong)


def is_lock_wait_timeout(wrong: BaseException) -> bool:
    """A metadata or row lock was not given in time."""
    return error_number(wrong) == 1205


def is_deadlock(wrong: BaseException) -> bool:
    return error_number(wrong) == 1213


def is_unknown_table(wrong: BaseException) -> bool:
    """1051 is what DROP and RENAME say, 1146 everybody else, 1109 a qualified name in a SELECT."""
    return error_number(wrong) in {1051, 1109, 1146}


def is_unknown_column(wrong: BaseException) -> bool:
    return error_number(wrong) == 1054


def is_unknown_database(wrong: BaseException) -> bool:
    return error_number(wrong) == 1049


def is_unknown_variable(wrong: BaseException) -> bool:
    return error_number(wrong) == 1193


def is_unknown_trigger(wrong: BaseException) -> bool:
    return error_number(wrong) == 1360


def is_table_exists(wrong: BaseException) -> bool:
    return error_number(wrong) == 1050


def is_no_such_thread(wrong: BaseException) -> bool:
    """KILL of a connection that is gone already."""
    return error_number(wrong) == 1094


def is_access_denied(wrong: BaseException) -> bool:
    """At the door (1045, 1044, 1698, 3118 locked, 3955 too many failures) or for one statement (1142, 1143, 1227, 1370, 1419)."""
    return error_number(wrong) in {1044, 1045, 1095, 1142, 1143, 1227, 1370, 1419, 1698, 3118, 3955}


def is_account_locked(wrong: BaseException) -> bool:
    return error_number(wrong) == 3118


def is_out_of_time(wrong: BaseException) -> bool:
    """max_execution_time ended it."""
    return error_number(wrong) == 3024


def is_interrupted(wrong: BaseException) -> bool:
    """KILL QUERY (1317) or max_execution_time (3024) ended it."""
    return error_number(wrong) in {1317, 3024}


def is_connection_lost(wrong: BaseException) -> bool:
    """The connection is gone, so what became of its statement is not known."""
    return error_number(wrong) in {1053, 2006, 2013, 2055, 4031} or isinstance(wrong, pymysql.err.InterfaceError)


def is_unreachable(wrong: BaseException) -> bool:
    return error_number(wrong) in {2002, 2003, 2005}


def is_without_tls(wrong: BaseException) -> bool:
    """We ask for TLS and the server offers none."""
    return error_number(wrong) == 2026


def is_too_many_connections(wrong: BaseException) -> bool:
    """Of the server (1040) or of the account (1203, 1226)."""
    return error_number(wrong) in {1040, 1203, 1226}


def is_read_only(wrong: BaseException) -> bool:
    """The server takes no writes just now (--read-only, or its storage is read-only)."""
    return error_number(wrong) in {1290, 1836, 3100}


def is_instant_refused(wrong: BaseException) -> bool:
    """ALGORITHM=INSTANT does not do this: not supported (1845, 1846), or too many row versions already (4092)."""
    return error_number(wrong) in {1845, 1846, 4092}


def is_duplicate_key(wrong: BaseException) -> bool:
    return error_number(wrong) in {1062, 1586}


def is_bad_value(wrong: BaseException) -> bool:
    """A value does not fit its column in strict mode."""
    return error_number(wrong) in {1048, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 3140, 3156, 3819}


def is_statement_wrong(wrong: BaseException) -> bool:
    """MySQL does not understand the statement: syntax (1064) or names that are not there."""
    return error_number(wrong) == 1064
