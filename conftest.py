"""For all tests: hypothesis tells its seeds and sets no deadlines, as CI machines are shared."""

from hypothesis import settings

settings.register_profile("accel", deadline=None, print_blob=True)
settings.load_profile("accel")
