"""The name of a service, from the command line of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossamer._service import infer


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python app.py", "app"),
        ("python -W error -X dev -B /srv/shop/worker.py --fast", "worker"),
        ("python -Werror worker.py", "worker"),
        ("python --check-hash-based-pycs always worker.py", "worker"),
        ("python -m shop", "shop"),
        ("python -m shop.server", "shop"),
        ("python -m shop.worker", "shop.worker"),
        ("python -Im shop.worker x", "shop.worker"),
        ("python -mshop.worker", "shop.worker"),
        ("python -c pass", "python"),
        ("python", "python"),
        ("python -", "python"),
        ("python /srv/shop/manage.py runserver", "shop"),
        ("python /srv/shop/__main__.py", "shop"),
        ("python /usr/bin/my-tool --x", "my-tool"),
        ("python /usr/bin/gunicorn -w 4 shop.wsgi:app", "shop"),
        ("python /usr/bin/gunicorn --bind 0.0.0.0:80 shop.web.wsgi:application", "shop"),
        ("python /usr/bin/gunicorn -b :80 shop.wsgi", "shop"),
        ("python -m gunicorn shop:create_app()", "shop"),
        ("python /usr/bin/uvicorn main:app --port 80 --host 1.2.3.4", "main"),
        ("python /usr/bin/flask --app shop run", "shop"),
        ("python /usr/bin/flask --app=src/shop/app.py:create run", "src.shop"),
        ("python -m flask -Ashop run", "shop"),
        ("python /usr/bin/flask run", "flask"),
        ("python /usr/bin/celery -A shop.tasks worker -l info", "shop.tasks"),
        ("python /usr/bin/celery worker", "celery"),
        ("python /usr/bin/fastapi run shop/main.py", "shop"),
        ("uwsgi --http :80 --module shop.wsgi:app", "shop"),
        ("python C.exe", "C"),
        ("python -m", "python"),
    ],
)
def test_names(command: str, expected: str) -> None:
    assert infer({}, command.split()) == expected


def test_flask_app_variable() -> None:
    assert infer({"FLASK_APP": "shop.web:create"}, ["python", "/bin/flask", "run"]) == "shop"


CHILD = "from gossamer._service import infer; print(infer({}), flush=True)"
PARENT = """
import multiprocessing
def work():
    from gossamer._service import infer
    print(infer({}), flush=True)
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    child = multiprocessing.Process(target=work)
    child.start(); child.join(60)
"""


def run(folder: Path, *arguments: str) -> str:
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder)] + [path for path in sys.path if path]))
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environ, stdout=subprocess.PIPE, timeout=60, check=True).stdout.decode().strip()


def test_this_process(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(CHILD)
    assert run(tmp_path, str(tmp_path / "shop.py")) == "shop"
    if sys.version_info >= (3, 10) or sys.platform == "linux":
        assert run(tmp_path, "-m", "shop") == "shop"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_spawned_child_has_the_name_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PARENT)
    assert run(tmp_path, str(tmp_path / "shop.py")) == "shop"
