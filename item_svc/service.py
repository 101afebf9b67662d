"""What the item service is made of."""

from item_svc import calls, contracts, events, history
from shared.service.service import Service, answer, hear

service = Service(
    "item",
    models=("item_svc.models",),
    publishes=(
        contracts.ItemCreated,
        contracts.ItemChanged,
        contracts.ItemDeleted,
        contracts.StockReserved,
        contracts.StockRejected,
        contracts.StockReleased,
    ),
    answers=(
        answer(contracts.CreateItem, calls.create_item),
        answer(contracts.GetItem, calls.get_item),
        answer(contracts.GetItems, calls.get_items),
        answer(contracts.ListItems, calls.list_items),
        answer(contracts.ChangeItem, calls.change_item),
        answer(contracts.DeleteItem, calls.delete_item),
        answer(contracts.AdjustStock, calls.adjust_stock),
        answer(contracts.StockHistory, history.stock_history),
        answer(contracts.GetCart, calls.get_cart),
        answer(contracts.SetCartLine, calls.set_cart_line),
        answer(contracts.RemoveCartLine, calls.remove_cart_line),
        answer(contracts.ClearCart, calls.clear_cart),
    ),
    hears=(
        hear(events.OrderPlaced, events.reserve_stock, batch=128),
        hear(events.ReleaseStock, events.release_stock, batch=128),
        hear(events.OrderFailed, events.return_to_carts, batch=128),
    ),
)
