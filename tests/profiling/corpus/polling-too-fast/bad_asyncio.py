import asyncio


async def follow(job, show):
    while True:
        show(job.status())
        await asyncio.sleep(0.05)
