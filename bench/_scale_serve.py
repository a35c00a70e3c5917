"""The real `serve`, and one timer in its event loop that notes how long a turn of the loop took of a processor.

    python bench/_scale_serve.py FILE serve

Each turn of over 2 ms becomes a line of FILE: when it ended (monotonic seconds), processor seconds of the loop's thread.
A timer fires once in a turn, so what lies between two is what a login waits for at most; and processor time is what the
turn would take on a machine that does nothing else.
"""

import asyncio
import sys
import time
from pathlib import Path

EVERY_SECONDS = 0.001
WORTH_SECONDS = 0.002


def main() -> None:
    from nats_k8s_oidc_callout import app  # noqa: PLC0415
    from nats_k8s_oidc_callout.__main__ import run  # noqa: PLC0415

    # Line by line, so that whoever reads sees all of what was.
    file = Path(sys.argv.pop(1)).open("w", buffering=1)  # noqa: SIM115
    really = app.App.run

    async def watched(self: app.App) -> None:
        loop = asyncio.get_running_loop()
        last = time.thread_time()

        def tick() -> None:
            nonlocal last
            now = time.thread_time()
            if now - last > WORTH_SECONDS:
                file.write(f"{time.monotonic()} {now - last}\n")
                now = time.thread_time()
            last = now
            loop.call_later(EVERY_SECONDS, tick)

        tick()
        await really(self)

    app.App.run = watched  # type: ignore[method-assign]
    run()


if __name__ == "__main__":
    main()
