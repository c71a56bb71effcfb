"""What the tests of several simulators share: ranks in processes, and what they must compute."""
