"""What an operator does elsewhere than among the dead letters: written down first, then done."""

from gateway.console.forms import Form
from gateway.console.requests import ConsoleRequest
from query_svc.dead_letters.contracts import RecordAction


async def write_down(request: ConsoleRequest, form: Form, action: str, target: str) -> None:
    """Put it into the audit log. Without that nothing is done: nobody acts unseen."""
    await request.rpc.call(
        RecordAction(request_id=form.request_id, by=request.user.id, action=action, target=target)
    )
