"""systemd as the supervisor: a generation as sockets, services and what a reboot starts."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.api.process import Limits
from steersman.drivers import celery
from steersman.drivers.generation import HELD_WAYS, folders_of, target_of
from steersman.drivers.model import Facts, Generation, Layout, ProcessUnits, Rendered
from steersman.drivers.unitfile import Directive, environment, exec_words, path, render
from steersman.planning.target import File, ProcessTarget

# promises: each of these keeps Python web apps running; MemoryDenyWriteExecute, PrivateUsers and
# ProcSubset break some of them and stay off.
HARDENING: tuple[Directive, ...] = (
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectProc", "invisible"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallErrorNumber", "EPERM"),
    ("LimitCORE", "0"),
    ("OOMPolicy", "kill"),
)

# journald leaves lines out beyond 10,000 in 30 s, just when an app has most to say.
LOG_LIMIT: tuple[Directive, ...] = (
    ("LogRateLimitIntervalSec", "30s"),
    ("LogRateLimitBurst", "1000000"),
)


class SystemdDriver:
    """Renders for one host."""

    def __init__(self, layout: Layout, facts: Facts) -> None:
        self._layout = layout
        self._facts = facts

    def render(self, generation: Generation) -> Rendered:
        runner = celery.runner_of(generation)
        files = [File(celery.runner(self._layout, generation), runner)] if runner else []
        targets: list[ProcessTarget] = []
        for process in generation.processes:
            stem = generation.unit(process.name)
            holders = (f"{stem}-hold.service", f"{stem}.socket")
            targets.append(target_of(self._layout, generation, process, holders))
            files += self._files(generation, process)
        units = [unit for target in targets for unit in target.units]
        return Rendered(
            unit_files=tuple(files),
            boot_files=self._boot_files(generation, targets, units),
            boot_links={self._wants(generation.app): f"../steersman-{generation.app}.target"},
            folders=folders_of(self._layout, self._facts, generation),
            processes=tuple(targets),
        )

    def boot_paths(self, app: str) -> tuple[str, ...]:
        return (self._wants(app), self._target_file(app), self._tmpfile(app))

    def _wants(self, app: str) -> str:
        return f"{self._layout.units}/multi-user.target.wants/steersman-{app}.target"

    def _target_file(self, app: str) -> str:
        return f"{self._layout.units}/steersman-{app}.target"

    def _tmpfile(self, app: str) -> str:
        return f"{self._layout.tmpfiles}/steersman-{app}.conf"

    def _run(self, app: str) -> str:
        return f"{self._layout.run}/{app}"

    def _files(self, generation: Generation, process: ProcessUnits) -> Iterator[File]:
        stem = generation.unit(process.name)
        if process.way in HELD_WAYS:
            yield self._unit(f"{stem}.socket", self._socket(generation, process))
            yield self._unit(f"{stem}-hold.service", _hold(generation, process))
        yield self._unit(f"{stem}@.service", self._service(generation, process))
        if process.is_relayed:
            yield self._unit(f"{stem}-relay@.service", self._relay(generation, process))

    def _unit(self, name: str, sections: list[tuple[str, list[Directive]]]) -> File:
        return File(f"{self._layout.units}/{name}", render(sections))

    def _socket(
        self, generation: Generation, process: ProcessUnits
    ) -> list[tuple[str, list[Directive]]]:
        stem = generation.unit(process.name)
        listen = f"{self._run(generation.app)}/{process.name}-g{generation.number}.sock"
        return [
            ("Unit", [("Description", _describe(generation, process, "socket"))]),
            (
                "Socket",
                [
                    ("ListenStream", path(listen)),
                    # Held open by a unit that never ends: no trigger or start limit can close it.
                    ("Service", f"{stem}-hold.service"),
                    ("SocketMode", "0660"),
                    ("SocketUser", "root"),
                    ("SocketGroup", self._facts.proxy_group or "root"),
                    ("DirectoryMode", "0755"),
                    ("Backlog", "2048"),
                    ("RemoveOnStop", "yes"),
                ],
            ),
        ]

    def _service(
        self, generation: Generation, process: ProcessUnits
    ) -> list[tuple[str, list[Directive]]]:
        unit: list[Directive] = [
            ("Description", _describe(generation, process, "%i")),
            ("After", "network-online.target"),
            # Restart for ever: a bad release is the gate's to refuse, not a start limit's.
            ("StartLimitIntervalSec", "0"),
        ]
        if process.way == "socket":
            # Without its socket a server would listen wherever its default is.
            unit += _needs(f"{generation.unit(process.name)}.socket")
        if process.is_relayed:
            unit += [("Wants", f"{generation.unit(process.name)}-relay@%i.service")]
        service = [*self._identity(generation, process), *self._command(generation, process)]
        # The same for every generation, so that whoever follows the log sees the next one too.
        service += [("SyslogIdentifier", f"steersman-{generation.app}.{process.name}")]
        service += LOG_LIMIT
        service += [*self._life(process), *limits_of(process.template.limits), *HARDENING]
        service += [("ReadWritePaths", path(self._layout.app(generation.app, "shared")))]
        if process.way == "path":
            service += [("ReadWritePaths", path(f"{self._run(generation.app)}/inst"))]
            service += [("UMask", "0007")]
        else:
            service += [("UMask", "0027")]
        return [("Unit", unit), ("Service", service)]

    def _identity(self, generation: Generation, process: ProcessUnits) -> list[Directive]:
        release = self._layout.app(generation.app, "releases", generation.release)
        shared = self._layout.app(generation.app, "shared")
        env = {
            "PATH": f"{release}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": f"{release}/venv",
            "PYTHONPATH": f"{release}/src",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": shared,
            "LANG": "C.UTF-8",
            # PrivateTmp makes it this instance's own: gunicorn puts its control socket there.
            "XDG_RUNTIME_DIR": "/tmp",  # noqa: S108
            "STEER_APP": generation.app,
            "STEER_PROCESS": process.name,
            "STEER_RELEASE": str(generation.number),
            "STEER_REVISION": generation.revision,
        }
        env |= self._listen(generation, process)
        return [
            ("User", generation.user),
            ("Group", generation.user),
            ("WorkingDirectory", path(f"{release}/src")),
            *(("Environment", environment(*pair)) for pair in env.items()),
            *(("EnvironmentFile", path(file)) for file in process.env_files),
        ]

    def _listen(self, generation: Generation, process: ProcessUnits) -> dict[str, str]:
        if process.way == "port":
            return {}
        # Only the proxy reaches these sockets, so what it says of the client can be believed.
        trust = {"FORWARDED_ALLOW_IPS": "*"} if process.way != "none" else {}
        if process.way == "path":
            base = f"inst/{process.name}-g{generation.number}.sock"
            trust["SOCKET"] = f"{self._run(generation.app)}/{base}"
        return trust

    def _command(self, generation: Generation, process: ProcessUnits) -> Iterator[Directive]:
        """Yield how the process is run; env finds it on the release's PATH and becomes it."""
        if process.way == "socket":
            yield "Sockets", f"{generation.unit(process.name)}.socket"
        yield "Environment", '"STEER_INSTANCE=%i"'
        if process.is_relayed:
            yield "Environment", '"PORT=%i"'
        words = celery.words_of(self._layout, generation, process)
        yield "ExecStart", exec_words(["/usr/bin/env", "--", *words])

    def _life(self, process: ProcessUnits) -> Iterator[Directive]:
        stop = process.template.stop
        yield "Type", "exec"
        # TERM to the main process only: the whole group at once costs Celery its running tasks.
        yield "KillMode", "mixed"
        yield "KillSignal", f"SIG{stop.signal}"
        yield "TimeoutStopSec", f"{stop.timeout:g}"
        yield "Restart", "always"
        yield "RestartSec", "500ms"
        if self._facts.systemd >= 254:
            yield "RestartSteps", "8"
            yield "RestartMaxDelaySec", "60"

    def _relay(
        self, generation: Generation, process: ProcessUnits
    ) -> list[tuple[str, list[Directive]]]:
        stem = generation.unit(process.name)
        proxyd = self._facts.socket_proxyd or "/usr/lib/systemd/systemd-socket-proxyd"
        unit: list[Directive] = [
            ("Description", _describe(generation, process, "relay to port %i")),
            # No relay without its instance: it would take connections and drop them.
            ("BindsTo", f"{stem}@%i.service"),
            ("After", f"{stem}@%i.service"),
            *_needs(f"{stem}.socket"),
            ("StartLimitIntervalSec", "0"),
        ]
        service: list[Directive] = [
            ("Type", "exec"),
            ("User", generation.user),
            ("Group", generation.user),
            ("Sockets", f"{stem}.socket"),
            ("ExecStart", exec_words([proxyd, "--connections-max=4096"]) + " 127.0.0.1:%i"),
            ("Restart", "always"),
            ("RestartSec", "100ms"),
            *HARDENING,
        ]
        return [("Unit", unit), ("Service", service)]

    def _boot_files(
        self, generation: Generation, targets: list[ProcessTarget], units: list[str]
    ) -> tuple[File, ...]:
        wanted: list[Directive] = [
            ("Description", f"{generation.app}, release {generation.number}"),
            *(("Wants", unit) for unit in units),
        ]
        target = self._unit(f"steersman-{generation.app}.target", [("Unit", wanted)])
        run, release = self._run(generation.app), self._layout.app(generation.app, "releases")
        lines = [f"d {self._layout.run} 0755 root root -", f"d {run} 0755 root root -"]
        lines += [
            f"d {folder.path} {folder.mode:04o} {folder.owner.replace(':', ' ')} -"
            for folder in folders_of(self._layout, self._facts, generation)
            if folder.path.startswith(run)
        ]
        lines.append(f"L+ {run}/serving - - - - {release}/{generation.release}")
        lines += [f"L+ {t.link} - - - - {t.link_target}" for t in targets if t.link is not None]
        text = "# Written by steersman: /run is empty after a reboot.\n" + "\n".join(lines) + "\n"
        return (target, File(self._tmpfile(generation.app), text.encode()))


def one_off(layout: Layout, app: str) -> tuple[Directive, ...]:
    """Return what a transient unit may do, for a command that is run in a release: what its
    processes may."""
    shared = path(layout.app(app, "shared"))
    return (*HARDENING, ("ReadWritePaths", shared), ("UMask", "0027"))


def _describe(generation: Generation, process: ProcessUnits, what: str) -> str:
    return f"{generation.app} {process.name} {what} (release {generation.number})"


def _needs(unit: str) -> list[Directive]:
    return [("Requires", unit), ("After", unit)]


def _hold(generation: Generation, process: ProcessUnits) -> list[tuple[str, list[Directive]]]:
    return [
        (
            "Unit",
            [
                ("Description", _describe(generation, process, "socket holder")),
                # systemd refuses to listen for a service that is already active.
                *_needs(f"{generation.unit(process.name)}.socket"),
            ],
        ),
        (
            "Service",
            [("Type", "oneshot"), ("RemainAfterExit", "yes"), ("ExecStart", "/bin/true")],
        ),
    ]


def limits_of(limits: Limits) -> Iterator[Directive]:
    """Yield how systemd says what a process may use."""
    if limits.memory is not None:
        yield "MemoryMax", str(limits.memory)
    if limits.cpu is not None:
        yield "CPUQuota", f"{limits.cpu * 100:g}%"
    if limits.tasks is not None:
        yield "TasksMax", str(limits.tasks)
    if limits.files is not None:
        yield "LimitNOFILE", str(limits.files)
