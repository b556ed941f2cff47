"""``python -m napari_sam_adapter`` is the command line."""

from napari_sam_adapter.cli import main

if __name__ == "__main__":
    main()
