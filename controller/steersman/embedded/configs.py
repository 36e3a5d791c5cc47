"""What supervisord and Caddy of the embedded host are started with."""

from __future__ import annotations

from pathlib import Path

_SUPERVISORD = """\
[supervisord]
logfile={folder}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}
nocleanup=true

[unix_http_server]
file={control}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={units}/*.conf
"""

_CADDYFILE = """\
{{
	admin unix/{admin}|0600
	persist_config off
	auto_https off
	http_port {port}
	default_bind 127.0.0.1
	storage file_system {folder}/caddy
	log {{
		level WARN
	}}
	servers {{
		timeouts {{
			read_header 10s
			idle 5m
		}}
	}}
}}

import {sites}/steersman-*.caddy
"""


def supervisord_conf(folder: Path, control: str, units: str) -> str:
    return _SUPERVISORD.format(folder=folder, control=control, units=units)


def caddyfile(folder: Path, admin: str, sites: str, port: int) -> str:
    return _CADDYFILE.format(folder=folder, admin=admin, sites=sites, port=port)
