"""The stock: what is left of each item, on FastAPI; it asks the shop for prices."""

import asyncio
import os

import httpx
from fastapi import BackgroundTasks, FastAPI, HTTPException

SHOP = os.environ.get("SHOP_URL", "http://127.0.0.1:8001")
app = FastAPI()
left = {item: 5 * item for item in range(1, 7)}


@app.get("/health")
async def health():
    return "ok"


@app.get("/stock/{item}")
async def stock(item: int):
    if item not in left:
        raise HTTPException(404)
    async with httpx.AsyncClient() as client:
        answer = await client.get("%s/api/price/%d" % (SHOP, item))
    return {"left": left[item], "value": round(left[item] * answer.json()["price"], 2)}


async def reorder(item: int):
    await asyncio.sleep(0.01)
    left[item] += 10


@app.post("/reserve/{item}")
async def reserve(item: int, background: BackgroundTasks):
    if not left.get(item):
        raise HTTPException(409, "sold out")
    left[item] -= 1
    if left[item] < 3:
        background.add_task(reorder, item)
    return {"left": left[item]}
