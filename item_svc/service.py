"""What the item service is made of."""

from item_svc import calls, contracts, events
from shared.service import Service, answer, hear

service = Service(
    "item",
    models=("item_svc.models",),
    publishes=(contracts.StockReserved, contracts.StockRejected, contracts.StockReleased),
    answers=(
        answer(contracts.CreateItem, calls.create_item),
        answer(contracts.GetItem, calls.get_item),
        answer(contracts.GetItems, calls.get_items),
        answer(contracts.ListItems, calls.list_items),
        answer(contracts.ChangeItem, calls.change_item),
        answer(contracts.DeleteItem, calls.delete_item),
        answer(contracts.AdjustStock, calls.adjust_stock),
        answer(contracts.StockHistory, calls.stock_history),
    ),
    hears=(
        hear(events.OrderPlaced, events.reserve_stock, batch=64),
        hear(events.ReleaseStock, events.release_stock, batch=64),
    ),
)
