"""What holds for the package as a whole: what it imports, declares, documents and says when something is missing."""

import ast
import configparser
import importlib
import importlib.metadata
import os
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import gen5astro
from gen5astro.cli import main

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gen5astro"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
VERBS = main.list_commands(click.Context(main))

HEAVY = ("torch", "numba", "h5py", "matplotlib", "pyarrow", "astropy", "scipy", "sklearn", "rich")


def loaded_after(code):
    code += f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import gen5astro; import sys; assert 'numpy' not in sys.modules").split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy(arguments):
    code = f"from gen5astro.cli import main\ntry: main({arguments!r})\nexcept SystemExit as end: assert not end.code"
    assert loaded_after(code).splitlines()[-1].split() == []


@pytest.mark.parametrize("name", [name for name in gen5astro.__all__ if not name.startswith("_")])
def test_a_name_of_the_library_is_public_where_it_lives(name):
    thing = getattr(gen5astro, name)
    assert name in importlib.import_module(thing.__module__).__all__
    assert name in dir(gen5astro)


def test_an_unknown_name_of_the_library_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_it'"):
        _ = gen5astro.nothing_like_it


def test_python_m_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gen5astro", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("gen5astro", run_name="__main__")
    assert not left.value.code
    assert capsys.readouterr().out.split() == ["gen5astro,", "version", gen5astro.__version__]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_each_of_its_options_is_documented(verb):
    command = main.get_command(click.Context(main), verb)
    first = command.help.strip().partition("\n")[0]
    assert first.endswith(".")
    assert "..." not in command.get_short_help_str(limit=80)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_kernels_keep_their_nan_checks_and_their_single_thread(path):
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            if keyword.arg in ("fastmath", "parallel"):
                assert not (isinstance(keyword.value, ast.Constant) and keyword.value.value is True), keyword.arg


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_are_short_enough_to_be_read(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            assert node.end_lineno - node.lineno - docstring.count("\n") <= 60, node.name


def test_modules_are_named_for_what_they_are_about():
    named = {path.stem.strip("_") for path in SOURCES}
    assert not named & {"data", "helper", "helpers", "manager", "misc", "tools", "util", "utils"}


def test_no_file_names_the_machine_that_it_was_written_on():
    place = re.compile(r"(?<![\w./:])/(?:root|home|Users|work|tmp)/\w")
    kept = {".cfg", ".h", ".c", ".html", ".md", ".py", ".rst", ".toml", ".txt", ""}
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a clone")
    files = [ROOT / name for name in listed.stdout.splitlines() if Path(name).suffix in kept]
    found = [str(path) for path in files if path.is_file() and place.search(path.read_text(encoding="utf-8"))]
    assert found == []


# --- metadata ---------------------------------------------------------------------------------------------------------

DISTRIBUTION = {"astropy_healpix": "astropy-healpix", "sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric"}


def names_in(requirements):
    return {re.match(r"[\w.-]+", line).group().lower() for line in requirements.split("\n") if line.strip()}


def imported_roots():
    roots = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
                roots |= {each.value.partition(".")[0] for each in node.args if isinstance(each, ast.Constant)}
    return roots - set(sys.stdlib_module_names) - {"gen5astro"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    # photutils imports scikit-image when it deblends, but leaves its installation to whoever calls that.
    borrowed = {"scikit-image"}
    optional = names_in(SETTINGS["options.extras_require"]["fast"])
    sometimes = names_in(SETTINGS["options.extras_require"]["cluster"])
    imported = {DISTRIBUTION.get(root, root) for root in imported_roots()}
    assert optional <= imported
    imported -= optional
    assert imported | borrowed == names_in(SETTINGS["options"]["install_requires"]) | (imported & sometimes)


def test_one_version_everywhere():
    assert importlib.metadata.version("gen5astro") == gen5astro.__version__
    assert f"\nversion: {gen5astro.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n{gen5astro.__version__} " in (ROOT / "CHANGES.rst").read_text()


def test_the_files_that_travel_with_the_package_are_there():
    for package, pattern in SETTINGS["options.package_data"].items():
        assert list((ROOT / package.replace(".", "/")).glob(pattern)), package


def test_a_tool_is_configured_in_one_file():
    pyproject = (ROOT / "pyproject.toml").read_text()
    for tool in ("pytest", "coverage", "mypy", "importlinter", "setuptools"):
        assert f"[tool.{tool}" not in pyproject
    for stray in ("pytest.ini", "tox.ini", "mypy.ini", ".coveragerc", ".importlinter", "ruff.toml"):
        assert not (ROOT / stray).exists()


def test_every_change_fragment_has_a_kind():
    kinds = {"feature", "bugfix", "doc", "removal"}
    for path in (ROOT / "changes").glob("*.rst"):
        assert path.name.split(".")[-2] in kinds, path.name
        assert path.read_text().strip().endswith("."), path.name


# --- docstrings -------------------------------------------------------------------------------------------------------

CHECKS = {
    *("GL05", "GL06", "GL07", "GL08", "GL09", "SS01", "SS02", "SS03", "SS04", "YD01"),
    *("PR01", "PR02", "PR03", "PR05", "PR06", "PR07", "PR09", "PR10", "RT01", "RT03", "RT05"),
}
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "gen5astro.")
    if not any(part.startswith("_") for part in name.split("."))
]


def documented_objects(module_name):
    module = importlib.import_module(module_name)
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if not callable(thing) or getattr(thing, "__module__", None) != module_name or isinstance(thing, click.Command):
            continue
        yield f"{module_name}.{name}", thing
        members = vars(thing).items() if isinstance(thing, type) and not getattr(thing, "_is_protocol", False) else ()
        for inner, member in members:
            if not inner.startswith("_") and callable(member):
                yield f"{module_name}.{name}.{inner}", member


@pytest.mark.parametrize("module_name", MODULES)
def test_public_docstrings_say_what_numpydoc_asks_for(module_name):
    from numpydoc.validate import validate

    assert importlib.import_module(module_name).__doc__, f"{module_name} has no docstring"
    found = []
    for where, thing in documented_objects(module_name):
        errors = validate(where)["errors"]
        checks = CHECKS - {"PR01"} if documents_itself(thing) else CHECKS
        found += [f"{where}: {code} {text}" for code, text in errors if code in checks]
    assert found == []


def documents_itself(thing):
    """Return whether a class has no parameters of its own, or says elsewhere what they are as a config section does."""
    if not isinstance(thing, type):
        return False
    described = {"doc" in each.metadata for each in getattr(thing, "__dataclass_fields__", {}).values()}
    return described == {True} or "__init__" not in vars(thing) or getattr(thing, "_is_protocol", False)


# --- scripts ----------------------------------------------------------------------------------------------------------

PROGRAMS = ("bash", "dirname", "cat", "cksum", "grep", "rm", "env", "find", "sort", "xargs", "sed")


@pytest.fixture
def tree(tmp_path):
    """Return a bare copy of the tree, and a PATH that holds only the programs that the scripts themselves need."""
    copy, programs = tmp_path / "tree", tmp_path / "bin"
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "requirements", "scripts", "ext"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(source, copy / name)
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name))
    return copy


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    path.chmod(0o755)


def run_script(tree, *command, **environment):
    environment = {"PATH": str(tree.parent / "bin"), "HOME": str(tree.parent), **environment}
    return subprocess.run(["bash", *command], capture_output=True, text=True, env=environment, cwd=tree.parent)


def make_installed(tree, extra=""):
    """Make the copy look installed: a stand-in interpreter, a stand-in command and the stamp of this very tree."""
    put(tree / ".venv/bin/python", 'if [ "$1" = -m ]; then printf "%s\\n" "$*"; fi')
    put(tree / ".venv/bin/gen5astro", 'printf "%s\\n" "$*"')
    now = run_script(tree, "-c", f"source {tree}/scripts/_environment.sh; fingerprint").stdout.strip()
    (tree / ".venv/.gen5astro-installed").write_text(f"{now} [{extra}]\n")


@pytest.mark.parametrize("script", ["demo", "test"])
def test_a_missing_compiler_is_one_line(tree, script):
    result = run_script(tree, str(tree / "scripts" / script))
    assert result.returncode == 2
    assert result.stderr.startswith("A C compiler is needed and was not found: install one")
    assert result.stderr.count("\n") == 1
    assert not (tree / ".venv").exists()


@pytest.mark.parametrize("script", ["demo", "test"])
@pytest.mark.parametrize("python", [None, "exit 1"])
def test_a_python_that_is_missing_or_too_old_is_one_line(tree, script, python):
    put(tree.parent / "bin/cc", "exit 0")
    if python is not None:
        put(tree.parent / "bin/python3", python)
    result = run_script(tree, str(tree / "scripts" / script))
    assert result.returncode == 2
    assert result.stderr.startswith("Python 3.11 or newer is needed and was not found: install it")
    assert result.stderr.count("\n") == 1
    assert not (tree / ".venv").exists()


def test_a_python_without_venv_is_one_line(tree):
    put(tree.parent / "bin/cc", "exit 0")
    put(tree.parent / "bin/python3", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    result = run_script(tree, str(tree / "scripts/demo"))
    assert result.returncode == 2
    assert result.stderr.startswith("python3 cannot make virtual environments: install its venv module")
    assert result.stderr.count("\n") == 1


def test_a_demo_that_is_installed_starts_at_once_and_may_overwrite_only_its_own_folder(tree):
    make_installed(tree)
    assert run_script(tree, str(tree / "scripts/demo"), "--threads", "2").stdout == (
        f"demo --out {tree}/demo --force --threads 2\n"
    )
    assert run_script(tree, str(tree / "scripts/demo"), "--out", "mine").stdout == "demo --out mine\n"


def test_the_test_environment_serves_the_demo_but_not_the_other_way_round(tree):
    put(tree.parent / "bin/cc", "exit 0")
    make_installed(tree, "test")
    assert "pip install" not in run_script(tree, str(tree / "scripts/demo")).stdout
    make_installed(tree)
    assert "pip install" in run_script(tree, "-c", f"source {tree}/scripts/_environment.sh; install_once test").stdout


def test_changed_settings_or_sources_are_installed_again_and_then_remembered(tree):
    put(tree.parent / "bin/cc", "exit 0")
    make_installed(tree)
    (tree / "setup.cfg").write_text("[metadata]\nname = changed\n")
    first = run_script(tree, str(tree / "scripts/demo"))
    assert f"--constraint {tree}/requirements/constraints.txt --editable {tree}\n" in first.stdout
    assert "pip install" not in run_script(tree, str(tree / "scripts/demo")).stdout


def test_a_failed_installation_is_not_remembered(tree):
    put(tree.parent / "bin/cc", "exit 0")
    make_installed(tree)
    (tree / "setup.cfg").write_text("[metadata]\nname = changed\n")
    put(tree / ".venv/bin/python", 'if [ "$1" = -m ]; then exit 1; fi')
    assert run_script(tree, str(tree / "scripts/demo")).returncode == 1
    assert not (tree / ".venv/.gen5astro-installed").exists()


def test_scripts_are_executable_and_parse():
    for path in (ROOT / "scripts/demo", ROOT / "scripts/test", ROOT / ".ci/run"):
        assert os.access(path, os.X_OK)
        assert subprocess.run(["bash", "-n", str(path)], capture_output=True).stderr == b""
