"""What the query service is made of."""

from query_svc import events
from query_svc.dead_letters import calls as dead_letters
from query_svc.dead_letters import contracts as dead_letter_contracts
from query_svc.dead_letters import jobs as dead_letter_jobs
from query_svc.dead_letters.office import DeadLetterOffice
from shared.service import Service, answer, every, hear_everything

PUBLISHERS = ("order", "item", "coupon", "payment", "user")

service = Service(
    "query",
    models=("query_svc.models", "query_svc.dead_letters.models"),
    answers=(
        answer(dead_letter_contracts.ListDeadLetterGroups, dead_letters.list_groups),
        answer(dead_letter_contracts.ListDeadLetters, dead_letters.list_letters),
        answer(dead_letter_contracts.GetDeadLetter, dead_letters.get_letter),
        answer(dead_letter_contracts.CountDeadLetters, dead_letters.count_letters),
        answer(dead_letter_contracts.RedriveDeadLetters, dead_letters.redrive),
        answer(dead_letter_contracts.DiscardDeadLetters, dead_letters.discard),
        answer(dead_letter_contracts.ListAudit, dead_letters.list_audit),
        answer(dead_letter_contracts.RecordAction, dead_letters.record_action),
    ),
    hears=tuple(hear_everything(name, events.take_in, batch=256) for name in PUBLISHERS),
    jobs=(
        every(2.0, dead_letter_jobs.learn_queues),
        every(0.3, dead_letter_jobs.fetch),
        every(0.3, dead_letter_jobs.send_back),
    ),
    attachments=(DeadLetterOffice,),
)
