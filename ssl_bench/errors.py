"""The one error that a user is meant to read."""


class UserError(Exception):
    """The user's input is wrong.

    The message is one line that names the file or option and the way out. The command line prints it
    and exits with status 2, without a traceback.
    """
