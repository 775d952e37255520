import pytest

from gradwatch_service.api.negotiation import MSGPACK, RAW, preferred
from gradwatch_service.api.operations import JSON


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html, application/xml;q=0.9", JSON),
        ("application/json", JSON),
        ("application/msgpack", MSGPACK),
        ("Application/Octet-Stream", RAW),
        ("application/json;q=0.5, application/msgpack", MSGPACK),
        ("application/octet-stream;q=0.2, application/json;q=0.1", RAW),
        ("application/octet-stream, application/msgpack", MSGPACK),
        ("application/msgpack;q=0", JSON),
        ("application/msgpack;q=much", JSON),
    ],
)
def test_the_form_that_is_liked_best_is_taken(accept: str, media: str):
    assert preferred(accept) == media
