"""From numbers to people: the sources of alerts.yaml and dashboards/, beside what they make.

`python -m grafana` writes both anew; `make docs` calls it. The program does not know of it. Tests hold what
is committed against the sources.
"""
