"""What a service without a database tells in passing is heard by whoever runs and taps it."""

from shared.events import Passing
from shared.messages import Event, View
from shared.service.service import Service, tap
from tests.shared.lab import Lab, unique
from tests.support.waiting import eventually


async def test_taps_hear_what_is_told_in_passing(lab: Lab) -> None:
    name = unique("passing")
    heard: list[str] = []

    class Said(Event, name=f"{name}.said", subject="word"):
        word: str

    class Hears(View, of=f"{name}.said", frozen=True):
        word: str

    def hear(said: Hears) -> None:
        heard.append(said.word)

    hear.__annotations__ = {"said": Hears, "return": None}
    service = Service(name, taps=(tap(hear),))
    service.publishes = (Said,)
    async with lab.running(service) as one, lab.running(service) as other:
        assert isinstance(one.passing, Passing)
        assert other.passing is not None
        assert one.passing.tell(Said(word="hello"))
        await eventually(lambda: _now(heard.count("hello") == 2))  # both of its processes, itself included
    assert not one.passing.tell(Said(word="nobody is there"))


async def _now(value: bool) -> bool:
    return value
