import asyncio


async def collect(queue):
    history = []

    async def consume():
        while True:
            history.append(await queue.get())

    task = asyncio.create_task(consume())
    await queue.join()
    task.cancel()
    return history
