"""Supervisor as the supervisor: a generation as program files and what its launcher reads.

Options: http://supervisord.org/configuration.html. Words that could mean something to Supervisor
(commands, variables) never stand in a program file: the launcher takes them from JSON beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from steersman.drivers import celery
from steersman.drivers.generation import folders_of, target_of
from steersman.drivers.model import Facts, Generation, Layout, ProcessUnits, Rendered
from steersman.drivers.shipped import source_of
from steersman.drivers.unitfile import CannotRender, Directive, path, render
from steersman.planning.target import File, Folder, ProcessTarget

PYTHON = "python -I -S -E"


def supervisor_settings(root: str, scope: str) -> dict[str, str]:
    """Return what the hand must know of supervisord: where it listens.

    Its configuration must hold `[include] files = <units>/*.conf`, `<units>` being the layout's.
    """
    if scope == "system":  # as Debian's package has it
        return {"supervisor": "/run/supervisor.sock"}
    return {"supervisor": f"{root}/supervisor.sock"}


class SupervisorDriver:
    """Renders for one host."""

    def __init__(self, layout: Layout, facts: Facts) -> None:
        self._layout = layout
        self._facts = facts

    def render(self, generation: Generation) -> Rendered:
        files = [self._file(generation, self._launcher(generation), source_of("launch"))]
        runner = celery.runner_of(generation)
        if runner is not None:
            where = celery.runner(self._layout, generation)
            files.append(self._file(generation, where, runner))
        targets: list[ProcessTarget] = []
        for process in generation.processes:
            refuse_limits(generation, process)
            holders = (f"{generation.unit(process.name)}.socket",)
            targets.append(target_of(self._layout, generation, process, holders))
            files += self._files(generation, process, targets[-1])
        return Rendered(
            unit_files=tuple(files),
            boot_files=tuple(self._boot_files(generation, targets)),
            boot_links={},
            folders=self._folders(generation),
            processes=tuple(targets),
        )

    def boot_paths(self, app: str) -> tuple[str, ...]:
        return tuple(
            f"{self._layout.units}/steersman-{app}.boot.{e}" for e in ("conf", "json", "py")
        )

    def _run(self, app: str) -> str:
        return f"{self._layout.run}/{app}"

    def _launcher(self, generation: Generation) -> str:
        # One for each generation: what runs is restarted by the launcher it was started with.
        stem = f"steersman-{generation.app}.g{generation.number}"
        return f"{self._layout.units}/{stem}.launch.py"

    def _spec_path(self, generation: Generation, process: ProcessUnits) -> str:
        return f"{self._layout.units}/{generation.unit(process.name)}.json"

    def _folders(self, generation: Generation) -> tuple[Folder, ...]:
        app = generation.app
        log = Folder(self._layout.app(app, "log"), 0o750, "root:root")
        own = Folder(f"{self._run(app)}/own", 0o711, "root:root")
        return folders_of(self._layout, self._facts, generation, log, own)

    def _files(
        self, generation: Generation, process: ProcessUnits, target: ProcessTarget
    ) -> Iterator[File]:
        spec = self._spec(generation, process, target)
        yield self._json(generation, self._spec_path(generation, process), spec)
        stop = process.template.stop.signal
        for unit in target.holders:
            command = self._command(generation, process, "hold", "%(process_num)d")
            options = [*command, *self._socket(generation, target)]
            options += self._life(generation, process, unit, "TERM")
            yield self._program(generation, f"fcgi-program:{unit}", options)
        for unit, number in zip(target.instances, process.instances, strict=True):
            command = self._command(generation, process, "run", str(number))
            options = [*command, *self._life(generation, process, unit, stop)]
            yield self._program(generation, f"program:{unit}", options)
        for unit, number in zip(target.relays, process.instances, strict=False):
            command = self._command(generation, process, "relay", str(number))
            options = [*command, *self._life(generation, process, unit, "TERM")]
            yield self._program(generation, f"program:{unit}", options)

    def _program(self, generation: Generation, section: str, options: list[Directive]) -> File:
        where = f"{self._layout.units}/{section.partition(':')[2]}.conf"
        return self._file(generation, where, render([(section, options)]))

    def _json(self, generation: Generation, where: str, value: Mapping[str, Any]) -> File:
        data = json.dumps(value, indent=1, sort_keys=True) + "\n"
        return self._file(generation, where, data.encode())

    def _file(self, generation: Generation, where: str, data: bytes) -> File:
        return File(where, data, owner="root:root" if generation.user else "")

    def _command(
        self, generation: Generation, process: ProcessUnits, mode: str, which: str
    ) -> list[Directive]:
        release = self._layout.app(generation.app, "releases", generation.release)
        launcher, spec = self._launcher(generation), self._spec_path(generation, process)
        words = f"{path(release)}/venv/bin/{PYTHON} {path(launcher)} {mode} {path(spec)} {which}"
        return [("command", words)]

    def _socket(self, generation: Generation, target: ProcessTarget) -> list[Directive]:
        user, group = generation.user, self._facts.proxy_group or "root"
        return [
            # supervisord keeps the socket open while one of the two runs.
            ("numprocs", "2"),
            ("process_name", "%(process_num)d"),
            ("socket", f"unix://{path(target.socket or '')}"),
            ("socket_mode", "0660" if user else "0600"),
            *([("socket_owner", f"root:{group}")] if user else []),
            ("socket_backlog", "2048"),
        ]

    def _life(
        self, generation: Generation, process: ProcessUnits, unit: str, signal: str
    ) -> list[Directive]:
        log = self._layout.app(generation.app, "log", f"{unit}.log")
        return [
            # The plan starts units; after a boot, the boot program does.
            ("autostart", "false"),
            ("autorestart", "true"),
            ("startsecs", "1"),
            # Restart for ever: a bad release is the gate's to refuse.
            ("startretries", "1000000000"),
            ("stopsignal", signal),
            ("stopwaitsecs", str(math.floor(process.template.stop.timeout) + 1)),
            # TERM to the main process only: the whole group at once costs Celery its tasks.
            ("stopasgroup", "false"),
            ("killasgroup", "true"),
            ("redirect_stderr", "true"),
            ("stdout_logfile", path(log)),
            ("stdout_logfile_maxbytes", "10MB"),
            ("stdout_logfile_backups", "1"),
        ]

    def _spec(
        self, generation: Generation, process: ProcessUnits, target: ProcessTarget
    ) -> Mapping[str, Any]:
        return {
            "way": process.way,
            "socket": target.socket,
            "argv": list(celery.words_of(self._layout, generation, process)),
            "env": self._environment(generation, process, target),
            "env_files": list(process.env_files),
            "cwd": self._layout.app(generation.app, "releases", generation.release, "src"),
            "own": f"{self._run(generation.app)}/own/{process.name}-g{generation.number}",
            "user": generation.user,
            "umask": 0o007 if process.way == "path" else 0o027,
            "files": process.template.limits.files,
        }

    def _environment(
        self, generation: Generation, process: ProcessUnits, target: ProcessTarget
    ) -> Mapping[str, str]:
        release = self._layout.app(generation.app, "releases", generation.release)
        env = {
            "PATH": f"{release}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": f"{release}/venv",
            "PYTHONPATH": f"{release}/src",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": self._layout.app(generation.app, "shared"),
            "LANG": "C.UTF-8",
            "STEER_APP": generation.app,
            "STEER_PROCESS": process.name,
            "STEER_RELEASE": str(generation.number),
            "STEER_REVISION": generation.revision,
        }
        if process.way in ("socket", "path"):
            # Only the proxy reaches these sockets, so what it says of the client can be believed.
            env["FORWARDED_ALLOW_IPS"] = "*"
        if process.way == "path":
            env["SOCKET"] = target.socket or ""
        return env

    def _boot_files(self, generation: Generation, targets: list[ProcessTarget]) -> Iterator[File]:
        app, run = generation.app, self._run(generation.app)
        _, spec, script = self.boot_paths(app)
        release = self._layout.app(app, "releases", generation.release)
        folders = [[self._layout.run, 0o755], [run, 0o755]]
        folders += [[f.path, f.mode] for f in self._folders(generation) if f.path.startswith(run)]
        links = {t.link: t.link_target for t in targets if t.link is not None}
        boot = {
            "app": app,
            "boot": f"steersman-{app}.boot",
            "folders": folders,
            "links": {f"{run}/serving": release, **links},
            "units": [unit for target in targets for unit in target.units],
        }
        yield self._file(generation, script, source_of("supervisor_rpc"))
        yield self._json(generation, spec, boot)
        words = f"{path(release)}/venv/bin/{PYTHON} {path(script)} {path(spec)}"
        options = [
            ("command", words),
            ("autorestart", "false"),
            ("startsecs", "0"),
            ("redirect_stderr", "true"),
            ("stdout_logfile", path(self._layout.app(app, "log", f"steersman-{app}.boot.log"))),
            ("stdout_logfile_maxbytes", "1MB"),
            ("stdout_logfile_backups", "0"),
        ]
        yield self._program(generation, f"program:steersman-{app}.boot", options)


def refuse_limits(generation: Generation, process: ProcessUnits) -> None:
    limits = process.template.limits
    for name in ("memory", "cpu", "tasks"):
        if getattr(limits, name) is not None:
            raise CannotRender(
                f"app {generation.app}: Supervisor cannot keep the limit on {name} of process"
                f" {process.name}; place the app on hosts with `supervisor: systemd`, or leave"
                f" spec.processes.{process.name}.limits.{name} out"
            )
