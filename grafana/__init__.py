"""Sources of the generated files alerts.yaml and dashboards/.

`python -m grafana`, called by `make docs`, writes both. The exporter must not import this package. Tests
check the committed files against the sources.
"""
