"""A small HTTP server on the standard library: listens as it is told, and ends gracefully.

Answers with the release in `x-revision`; a POST is echoed. FAIL=boot exits at once, FAIL=health
answers 500, SLOW is how many seconds each answer takes.
"""

import asyncio
import os
import signal
import socket
import sys


def listener() -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=3)
    if "SOCKET" in os.environ:
        bound = socket.socket(socket.AF_UNIX)
        temporary = f"{os.environ['SOCKET']}.{os.getpid()}"
        bound.bind(temporary)
        bound.listen(128)
        os.rename(temporary, os.environ["SOCKET"])
        return bound
    return socket.create_server(("127.0.0.1", int(os.environ["PORT"])))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = await reader.readexactly(length)
        await asyncio.sleep(float(os.environ.get("SLOW", "0.005")))
        status = b"500 Broken" if os.environ.get("FAIL") == "health" else b"200 OK"
        said = body or f"pid {os.getpid()} token {os.environ.get('TOKEN', '')}".encode()
        writer.write(
            b"HTTP/1.1 %s\r\nx-revision: %s\r\nx-pid: %d\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s"
            % (status, os.environ["STEER_RELEASE"].encode(), os.getpid(), len(said), said)
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    print(f"release {os.environ['STEER_RELEASE']} starts", flush=True)
    if os.environ.get("FAIL") == "boot":
        sys.exit("cannot find my database")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await answer(reader, writer)
        tasks.discard(task)

    bound = listener()
    start = asyncio.start_unix_server if bound.family == socket.AF_UNIX else asyncio.start_server
    server = await start(tracked, sock=bound)
    await stop.wait()
    server.close()
    await asyncio.gather(*tasks)


asyncio.run(main())
