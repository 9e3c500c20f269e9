"""The base of modules: commands, options, waiting, log lines; and where modules are found."""

from __future__ import annotations

import json
import threading
from importlib.metadata import EntryPoint

import pytest

from spirula.errors import NotFound
from spirula.mgr_host import own
from spirula.mgr_host.loader import find_modules, load
from spirula.mgr_modules import Commands, Module, Option, Outcome, Reply, integer, text
from spirula.mgr_modules.registry import MODULES
from tests.unit.mgr_modules.fake_host import FakeHost, run


class Greeter(Module):
    """Greets."""

    COMMANDS = Commands("mgr")
    OPTIONS = (Option("greeting", "hello"), Option("often", 5, kind="secs", low=1))

    @COMMANDS.add("greet", who=text(), times=integer(1, 3, required=False), perm="r", help="greets")
    def greet(self, request, who, times=1):
        if who == "nobody":
            raise NotFound("there is nobody")
        return Reply(data=" ".join([f"{self.option('greeting')} {who}"] * times).encode())


@pytest.fixture
def host():
    return FakeHost()


def test_a_command_is_checked_and_answered(host):
    module = Greeter("greeter", host)
    assert run(module, "greet", who="you", times=2) == (0, "hello you hello you", "")
    assert run(module, "greet", who="nobody") == (-2, "", "there is nobody")
    assert run(module, "greet")[0] == -22
    assert run(module, "greet", who="you", times=9)[0] == -22
    assert run(module, "wave") == (-22, "", "No handler found for 'wave'")
    answer = module._handle_command("", {"prefix": "greet", "who": "you", "format": "plain"})
    assert answer == (0, "hello you", "")


def test_an_option_is_its_default_until_it_is_set(host):
    module = Greeter("greeter", host)
    assert module.option("often") == 5
    module.set_option("greeting", "hi")
    assert run(module, "greet", who="you")[1] == "hi you"
    module.set_option("greeting", None)
    assert module.option("greeting") == "hello"


@pytest.mark.parametrize(
    ("found", "value"),
    [(7, 7), ("8", 8), (0, 1), ("soon", 5), (True, 5), (2.5, 5), (None, 5)],
)
def test_an_option_that_does_not_fit_is_its_default_or_limit(host, found, value):
    host.own_options["often"] = found
    assert Greeter("greeter", host).option("often") == value


def test_an_option_is_one_of_its_choices(host):
    host.own_options["log_level"] = "chatty"
    assert Greeter("greeter", host).option("log_level") == ""


def test_waiting_ends_early_and_for_good(host):
    module = Greeter("greeter", host)
    module.wake()
    assert module.wait(60)
    timer = threading.Timer(0.01, module.shutdown)
    timer.start()
    assert not module.wait(60)
    assert not module.wait(60)
    timer.join()


def test_commands_to_others_are_waited_for(host):
    module = Greeter("greeter", host)
    host.answers["osd dump"] = (0, '{"epoch": 3}', "")
    host.answers["osd out"] = (-2, "", "no such osd")
    assert module.ask("osd dump", format="json").document() == {"epoch": 3}
    with pytest.raises(NotFound, match="no such osd"):
        module.ask("osd out", ids=["9"]).check()
    module.tell("osd.3", "smart", from_="a")
    assert host.sent[-1] == ("osd.3", {"prefix": "smart", "from": "a"})


def test_who_does_not_answer_is_given_up(host):
    host.send_command = lambda *_: None
    outcome = Greeter("greeter", host).tell("osd.3", "smart", timeout_s=0.01)
    assert outcome == Outcome(-110, "", "osd.3 does not answer 'smart'")


def test_lines_go_where_options_say(host, tmp_path):
    module = Greeter("greeter", host)
    module.log.debug("quiet")
    module.log.info("one %d", 1)
    assert host.lines == ["[greeter INFO] one 1"]
    host.options["log_file"] = str(tmp_path / "mgr.x.log")
    host.own_options |= {
        "log_level": "debug",
        "log_to_file": True,
        "log_to_cluster": True,
        "log_to_cluster_level": "warning",
    }
    module.config_notify()
    module.log.debug("loud")
    module.log.error("bad")
    assert host.lines[1:] == ["[greeter DEBUG] loud", "[greeter ERROR] bad"]
    assert host.cluster_lines == [("cluster", 4, "bad")]
    assert "loud" in (tmp_path / "mgr.x.greeter.log").read_text()
    host.own_options.clear()
    module.config_notify()
    assert len(module.log.handlers) == 1


def test_what_a_class_declares_is_told_to_the_monitors():
    loaded = load("greeter", f"{__name__}:Greeter", None, lambda _: None)
    (command,) = loaded.commands
    assert command.cmdstring == (
        "greet name=who,type=CephString name=times,type=CephInt,range=1|3,req=false"
    )
    often = loaded.options["often"]
    assert often.min == "1"
    assert int(often.max) > 1_000_000  # monitors keep to limits that come in pairs only
    assert "log_level" in loaded.options
    assert loaded.can_run


def test_a_class_that_is_none_is_told_of():
    lines = []
    loaded = load("odd", f"{__name__}:FakeHost", None, lines.append)
    assert (loaded.can_run, loaded.module_class) == (False, None)
    assert "FakeHost is no subclass" in loaded.error
    assert lines


MODULE = """
from spirula.mgr_modules import Commands, Module, Reply

class Hello(Module):
    COMMANDS = Commands("mgr")

    @COMMANDS.add("hello", perm="r", help="greets")
    def hello(self, request):
        return Reply(data=b"hello from a folder")
"""


def test_a_folder_may_have_a_module_of_our_kind(tmp_path, host):
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "__init__.py").write_text(MODULE)
    where = find_modules([str(tmp_path)])
    assert where["hello"] == str(tmp_path)
    loaded = load("hello", where["hello"], None, lambda _: None)
    assert run(loaded.make(None, host), "hello") == (0, "hello from a folder", "")


def test_folders_come_before_ours_unless_the_path_says_otherwise(tmp_path):
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "module.py").write_text("")
    assert find_modules([str(tmp_path)])["status"] == str(tmp_path)
    assert find_modules([str(tmp_path)])["crash"] == MODULES["crash"]
    assert find_modules(["spirula", str(tmp_path)])["status"] == MODULES["status"]


def test_installed_packages_may_replace_ours(monkeypatch):
    found = [EntryPoint("status", f"{__name__}:Greeter", own.GROUP)]
    monkeypatch.setattr(own, "entry_points", lambda group: found)
    assert find_modules(["spirula"])["status"] == f"{__name__}:Greeter"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_our_own_modules_load(name):
    lines = []
    loaded = load(name, MODULES[name], None, lines.append)
    assert (loaded.error, lines) == ("", [])
    texts = json.dumps([one.cmdstring for one in loaded.commands])
    assert "NotImplemented" not in texts
