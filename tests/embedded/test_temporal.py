"""The Temporal development server as tests and the demo get it."""

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

from embedded.temporal import TemporalServer
from workflows.addresses import SEARCH_ATTRIBUTES


async def test_every_search_attribute_of_ours_is_registered(temporal_server: TemporalServer) -> None:
    client = await temporal_server.client()
    listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=temporal_server.namespace))
    assert {key.name: int(key.indexed_value_type) for key in SEARCH_ATTRIBUTES} == {
        name: int(kind) for name, kind in listed.custom_attributes.items() if name in {key.name for key in SEARCH_ATTRIBUTES}
    }
