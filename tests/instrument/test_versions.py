import pytest

from gossamer._instrument.versions import Installed, Range, normalize, parse


@pytest.mark.parametrize(
    "version, numbers",
    [
        ("1.26.20", (1, 26, 20)),
        ("v2.0", (2, 0)),
        ("1!3.1", (3, 1)),
        ("4.0.0rc1", (4, 0, 0)),
        ("3.1.post2", (3, 1)),
        ("2.0.dev5+local", (2, 0)),
        ("garbage", ()),
        ("", ()),
    ],
)
def test_parse(version, numbers):
    assert parse(version) == numbers


@pytest.mark.parametrize(
    "bounds, inside, outside",
    [
        (">=2.6", ["2.6", "2.6.0", "3", "10.1"], ["2.5.9", "2"]),
        (">=2.6, <4", ["3.99"], ["4.0.0", "4"]),
        ("==1.2", ["1.2", "1.2.0"], ["1.2.1"]),
        ("!=1.2,>1", ["1.3"], ["1.2.0", "1", "1.0"]),
        ("<=0.16", ["0.16.0", "0.1"], ["0.16.1"]),
        ("", ["0", "99"], []),
    ],
)
def test_range(bounds, inside, outside):
    found = Range(bounds)
    assert all(version in found for version in inside)
    assert not any(version in found for version in outside)
    assert None in found


@pytest.mark.parametrize("bounds", ["2.6", "~=1.2", ">=", ">= x", "=>1"])
def test_malformed_range(bounds):
    with pytest.raises(ValueError, match="not a version bound"):
        Range(bounds)


def test_installed(tmp_path, monkeypatch):
    (tmp_path / "Some_Lib-1.2.3.dist-info").mkdir()
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 0.9\n")
    (tmp_path / "flat-3.egg-info").write_text("Name: flat\nVersion: 3.0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "missing")])
    found = Installed()
    assert found.version("some-lib") == found.version("Some.Lib") == "1.2.3"
    assert (found.version("old"), found.version("flat"), found.version("absent")) == ("0.9", "3.0", None)
    (tmp_path / "late-1.0.dist-info").mkdir()
    assert found.version("late") is None
    found.forget()
    assert found.version("late") == "1.0"


def test_normalize():
    assert normalize("Flask_Cache") == normalize("flask.-cache") == "flask-cache"


def test_agrees_with_importlib_metadata():
    metadata = pytest.importorskip("importlib.metadata", reason="CPython 3.8")
    found = Installed()
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and "+" not in distribution.version:
            try:
                expected = metadata.version(name)
            except metadata.PackageNotFoundError:  # some versions do not find a dotted name in a folder with dashes
                continue
            assert parse(found.version(name) or "") == parse(expected), name
