"""``python -m gen5astro`` is ``gen5astro``."""

from gen5astro.cli import main

if __name__ == "__main__":
    main()
