"""``python -m benchmarks.serving.bare MODEL PORT``: the least that answers: Uvicorn, JSON to an array, the booster."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import numpy as np
import uvicorn


class Request(msgspec.Struct):
    """What is sent: the finished inputs of each row."""

    data: list[list[float | None]]


def application(model: str) -> Any:
    """Return an ASGI application that answers any POST with the predictions of its rows."""
    import lightgbm

    booster, decoder = lightgbm.Booster(model_file=model), msgspec.json.Decoder(Request)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        said = b"{}"
        if body:
            table = np.array(decoder.decode(body).data, dtype="float64")
            said = msgspec.json.encode({"predictions": booster.predict(table, num_threads=1).tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="error", lifespan="off",
        access_log=False, proxy_headers=False,
    )  # fmt: skip
