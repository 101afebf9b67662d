"""What the greet service is made of."""

from greet_svc import calls, contracts, events
from shared.service import Service, answer, hear

service = Service(
    "greet",
    contracts=(contracts,),
    models=("greet_svc.models",),
    answers=(answer(calls.greet),),
    hears=(hear(events.greet_newcomers, batch=64, once=True),),
)
