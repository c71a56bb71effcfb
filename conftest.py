"""For all tests: hypothesis without deadlines, as CI machines are shared; and it tells its seeds."""

from hypothesis import settings

settings.register_profile("accel", deadline=None, print_blob=True)
settings.load_profile("accel")
