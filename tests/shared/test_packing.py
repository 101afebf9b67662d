"""Events in messages: how many, in which order, and traced to what caused them."""

import msgspec

from shared.context import working_on
from shared.database.transaction import Cause, Emitted
from shared.events.packing import join, pack
from tests.shared.tiny.contracts import contracts

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_messages_hold_at_most_64_events():
    said = contracts("pure")
    messages = pack("pure", [Emitted(said.marked(key=str(n)), n) for n in range(130)], [])
    assert [message.count for message in messages] == [64, 64, 2]
    assert messages[1].subjects.split()[0] == "64"
    bodies = [msgspec.json.decode(message.body) for message in messages]
    assert [one["sequence"] for body in bodies for one in body] == list(range(130))
    assert len({one["id"] for body in bodies for one in body}) == 130
    assert len({message.id for message in messages}) == 3


def test_messages_hold_at_most_256_kib_but_for_an_event_that_is_larger():
    said = contracts("pure")
    events = [Emitted(said.marked(key=str(n), text="x" * 100_000), None) for n in range(5)]
    huge = Emitted(said.marked(key="huge", text="x" * 400_000), None)
    messages = pack("pure", [*events, huge, *events], [])
    assert [message.count for message in messages] == [2, 2, 1, 1, 2, 2, 1]
    assert all(len(message.body) <= 256 * 1024 + 100 for message in messages if message.subjects != "huge")


def test_order_is_kept_within_a_type():
    said = contracts("pure")
    emitted = [Emitted((said.marked if n % 2 else said.noted)(key=str(n)), None) for n in range(10)]
    messages = {message.type: message for message in pack("pure", emitted, [])}
    assert messages["pure.marked"].subjects == "1 3 5 7 9"
    assert messages["pure.noted"].subjects == "0 2 4 6 8"


def test_messages_that_were_left_over_are_joined_as_far_as_one_may_hold():
    said = contracts("pure")
    left = [pack("pure", [Emitted(said.marked(key=str(n)), n)], [])[0] for n in range(100)]
    left[50:50] = pack("pure", [Emitted(said.noted(key="other"), None)], [])
    left += pack("pure", [Emitted(said.marked(key="huge", text="x" * 400_000), None)], [])
    joined = join(left)
    assert [(message.type, message.count) for message in joined] == [
        ("pure.marked", 64),
        ("pure.marked", 36),
        ("pure.marked", 1),
        ("pure.noted", 1),
    ]
    assert [row for message in joined[:2] for row in message.rows] == [
        m.id for m in left[:101] if m.type == "pure.marked"
    ]
    events = [one for message in joined[:2] for one in msgspec.json.decode(message.body)]
    assert [one["sequence"] for one in events] == list(range(100))
    assert " ".join(message.subjects for message in joined[:2]).split() == [str(n) for n in range(100)]
    assert joined[0].correlation_id is None


def test_an_event_is_traced_to_the_cause_that_is_about_the_same():
    said = contracts("pure")
    causes = [Cause("cause-a", "a", TRACE), Cause("cause-b", "b", None)]
    with working_on("somebody else", TRACE):
        (message,) = pack("pure", [Emitted(said.marked(key=key), None) for key in ("b", "a")], causes)
    b, a = msgspec.json.decode(message.body)
    assert (a["causationid"], a["correlationid"]) == ("cause-a", "a")
    assert (b["causationid"], b["correlationid"]) == ("cause-b", "b")
    assert a["traceparent"][:36] == TRACE[:36]  # the same trace
    assert a["traceparent"] != TRACE  # another span
    assert b["traceparent"][3:35] != TRACE[3:35]
    assert message.correlation_id is None  # it is about two


def test_a_lone_cause_is_the_cause_of_everything():
    said = contracts("pure")
    (message,) = pack("pure", [Emitted(said.marked(key="x"), None)], [Cause("c", "order-1", TRACE)])
    (one,) = msgspec.json.decode(message.body)
    assert (one["causationid"], one["correlationid"], one["subject"]) == ("c", "order-1", "x")
    assert message.correlation_id == "order-1"
