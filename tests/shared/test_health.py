"""Health of a process: alive, ready by named checks, and its figures."""

import httpx

from tests.shared.lab import Lab, unique
from tests.support.calling import bearer
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


async def test_a_process_says_whether_it_lives_and_is_ready_and_why_not(lab: Lab, url: str):
    name, publisher = unique("svc"), unique("pub")
    async with proxy_to(url) as database, proxy_to(lab.amqp_url) as broker:
        process = await lab.process(
            name, database.via(url), amqp_url=broker.via(lab.amqp_url), hears=publisher
        )
        async with httpx.AsyncClient(trust_env=False, base_url=process.url) as client:

            async def ready() -> tuple[int, dict[str, str]]:
                answer = await client.get("/readyz")
                return answer.status_code, answer.json()["checks"]

            ok = {"draining": "ok", "database": "ok", "broker": "ok", "consumers": "ok"}
            assert await ready() == (200, ok)
            assert (await client.get("/livez")).json() == {"status": "ok"}

            await database.cut()
            status, checks = await ready()
            assert status == 503
            assert checks.pop("database").startswith("away")
            assert set(checks.values()) == {"ok"}
            await database.heal()
            await eventually(ready, holds=lambda found: found == (200, ok))

            database.stall()  # it hangs: the check must not hang as well
            answer = await client.get("/readyz", timeout=5)
            assert answer.status_code == 503
            assert answer.json()["checks"]["database"].startswith("away")
            assert (await client.get("/livez")).is_success
            await database.heal()
            await eventually(ready, holds=lambda found: found == (200, ok))

            await broker.cut()
            status, checks = await eventually(ready, holds=lambda found: found[1]["broker"].count("#") == 3)
            assert status == 200, "it still answers calls over HTTP"
            assert checks["broker"].startswith("not connected: ")
            for role in ("calls", "publish", "consume"):
                assert f"{name}-svc#1 {role} (since 20" in checks["broker"]
            figures = (await client.get("/metrics")).text
            assert f'shop_failing_seconds{{what="link {name}-svc#1 calls"}} 0.0\n' not in figures
            assert (await client.get("/livez")).is_success
            await broker.heal()
            await eventually(ready, holds=lambda found: found == (200, ok))


async def test_metrics_are_there_for_prometheus_and_bear_no_ids(lab: Lab, url: str):
    name = unique("svc")
    process = await lab.process(name, url)
    async with httpx.AsyncClient(trust_env=False, base_url=process.url) as client:
        await client.post(f"/calls/{name}.put", json={"key": "an-id"}, headers=bearer(name))
        answer = await eventually(
            lambda: client.get("/metrics"), holds=lambda found: f'event="{name}.marked"' in found.text
        )
    assert answer.headers["content-type"].startswith("text/plain")
    assert f'shop_calls_answered_total{{call="{name}.put",status="200"}} 1.0' in answer.text
    assert f'shop_events_published_total{{event="{name}.marked"}} 1.0' in answer.text
    assert "shop_outbox_pending" in answer.text
    assert "an-id" not in answer.text


async def test_a_stop_by_signal_is_in_good_order(lab: Lab, url: str):
    name = unique("svc")
    process = await lab.process(name, url)
    assert await process.terminate() in (0, -15)  # the server ends by the signal it was stopped with
    await process.start()
    await process.is_ready()
