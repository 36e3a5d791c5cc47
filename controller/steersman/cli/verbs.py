"""Every verb of steer by its name: where it lives and its line in `steer --help`."""

from typing import NamedTuple


class Verb(NamedTuple):
    """`target` is the `module:command` that is imported when the verb is used, not before."""

    target: str
    summary: str


SECTIONS: dict[str, dict[str, Verb]] = {
    "Begin": {
        "demo": Verb("steersman.cli.demo:demo", "Show a whole deploy on this machine, measured"),
        "host": Verb("steersman.cli.host:host", "Check, trust, cordon and drain hosts"),
        "explain": Verb("steersman.cli.explain:explain", "Say what a field of a manifest is"),
        "schema": Verb("steersman.cli.schema:schema", "Print the JSON Schema of manifests"),
    },
    "Deploy": {
        "diff": Verb("steersman.cli.diff:diff", "Show what apply would do, and why"),
        "apply": Verb("steersman.cli.apply:apply", "Make the hosts agree with manifests"),
        "reconcile": Verb("steersman.cli.reconcile:reconcile", "Look at repositories and apps now"),
        "chart": Verb("steersman.cli.chart:chart", "Install and upgrade manifests with values"),
        "git": Verb("steersman.cli.git:git", "Make repositories to deploy from by git push"),
        "rollout": Verb("steersman.cli.rollout:rollout", "Watch, list, undo or restart releases"),
        "secret": Verb("steersman.cli.secret:secret", "Seal secrets, show them, rotate their keys"),
        "scale": Verb("steersman.cli.scale:scale", "Change how many instances a process has"),
        "edit": Verb("steersman.cli.edit:edit", "Change an object in an editor"),
        "patch": Verb("steersman.cli.patch:patch", "Change fields of an object"),
        "label": Verb("steersman.cli.label:label", "Set and remove labels"),
        "annotate": Verb("steersman.cli.label:annotate", "Set and remove annotations"),
        "job": Verb("steersman.cli.job:job", "Run jobs now"),
        "adopt": Verb("steersman.cli.adopt:adopt", "Know apps again from their hosts"),
        "delete": Verb("steersman.cli.delete:delete", "Remove apps and everything of theirs"),
    },
    "Keep": {
        "serve": Verb("steersman.cli.serve:serve", "Keep the hosts in agreement, as a daemon"),
    },
    "Look": {
        "get": Verb("steersman.cli.get:get", "List apps, hosts, jobs, releases and others"),
        "describe": Verb("steersman.cli.describe:describe", "Show all that is known of an object"),
        "dashboard": Verb("steersman.cli.dashboard:dashboard", "Show it all in a browser"),
        "top": Verb("steersman.cli.top:top", "Show what hosts, apps and processes use"),
        "events": Verb("steersman.cli.events:events", "List events, and watch them come"),
        "wait": Verb("steersman.cli.wait:wait", "Wait until objects meet a condition"),
        "logs": Verb("steersman.cli.logs:logs", "Print the output of an app or a job"),
        "exec": Verb("steersman.cli.exec:exec_", "Run a command in an app's environment"),
        "run": Verb("steersman.cli.run:run", "Run a program by hand: a shell, a console, a dump"),
    },
    "Other": {
        "config": Verb("steersman.cli.config:config", "Say which daemon verbs speak to"),
        "token": Verb("steersman.cli.token:token", "Let others speak to the daemon"),
        "auth": Verb("steersman.cli.auth:auth", "Ask what you may do"),
        "plugin": Verb(
            "steersman.cli.plugin:plugin", "Try what ships signals; list types and programs"
        ),
        "completion": Verb(
            "steersman.cli.completion:completion", "Print the completion script of a shell"
        ),
        "version": Verb("steersman.cli.version:version", "Print the version"),
    },
}

VERBS: dict[str, Verb] = {
    name: verb for section in SECTIONS.values() for name, verb in section.items()
}
