# Two commands do everything on a fresh machine:
#   make demo   set up, then show the loop (in napari, or headless without a display)
#   make test   set up, then run the whole suite; WORKERS=8 where there are cores and memory for it
# Speed, against what is published: make bench [OUT=FILE] [ROWS=encoder,steps] [THREADS=1]
PYTHON ?= python3
BIN := .venv/bin

# What Debian and Ubuntu need for a Qt window; xvfb is the display of the tests.
DISPLAY_PACKAGES := xvfb libegl1 libgl1 libopengl0 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 \
	libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 \
	libxcb-xinerama0

# A display of its own for the tests, so that no window pops up on the person's.
VIRTUAL_DISPLAY = $(shell command -v xvfb-run >/dev/null && echo 'xvfb-run -a -s "-screen 0 1600x1000x24"')

# The tests start hundreds of processes: none is to compile the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test bench lint screenshots display-libraries clean

demo: display-libraries .venv/installed
	$(BIN)/napari-sam-adapter demo

test: display-libraries .venv/installed
	$(VIRTUAL_DISPLAY) $(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile

# docs/performance.md explains what it prints. Windows it opens get a virtual display if need be.
bench: display-libraries .venv/installed
	$(BIN)/python -m bench $(if $(OUT),--out $(OUT)) $(if $(ROWS),--rows $(ROWS)) \
		$(if $(THREADS),--threads $(THREADS))

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pictures of the README and the tutorial, from the real window.
screenshots: display-libraries .venv/installed
	$(VIRTUAL_DISPLAY) $(BIN)/python docs/make_screenshots.py

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	touch $@

display-libraries:
	@command -v dpkg >/dev/null || exit 0; \
	missing=$$(for name in $(DISPLAY_PACKAGES); do \
		dpkg -s $$name >/dev/null 2>&1 || printf '%s ' $$name; done); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2>/dev/null; then as_root=sudo; \
	else echo "A Qt window needs these packages; install them with:"; \
		echo "  sudo apt-get install $$missing"; exit 0; fi; \
	echo "Installing display libraries: $$missing"; \
	{ $$as_root apt-get update -qq && $$as_root apt-get install -y -qq $$missing >/dev/null; } || \
		echo "That failed; install them by hand: sudo apt-get install $$missing"

clean:
	rm -rf .venv build dist demo-output
