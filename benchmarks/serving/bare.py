"""``python -m benchmarks.serving.bare MODEL PORT``: the least that answers: Uvicorn, JSON to an array, the booster."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import lightgbm
import msgspec
import numpy as np
import uvicorn

booster = lightgbm.Booster(model_file=sys.argv[1]) if len(sys.argv) > 2 else None


class Request(msgspec.Struct):
    """What is sent: the finished inputs of each row."""

    data: list[list[float | None]]


decoder = msgspec.json.Decoder(Request)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer any call with the predictions of its rows."""
    if scope["type"] != "http":
        return
    body, more = b"", scope["method"] == "POST"
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    said = b"{}"
    if body:
        table = np.array(decoder.decode(body).data, dtype="float64")
        assert booster is not None  # started by its command
        said = msgspec.json.encode({"predictions": booster.predict(table, num_threads=1).tolist()})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


if __name__ == "__main__":
    asyncio.set_event_loop_policy(None)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", lifespan="off")
