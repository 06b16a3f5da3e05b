"""Every error that this package raises on purpose, in one tree.

    ToolaceError
    ├── ConfigError        a setting, a command-line value or a combination of settings is wrong
    ├── DataError          input rows or files are missing, unreadable or unusable
    ├── ParseError         text is not a tool call in the format asked for
    ├── TemplateError      a chat template or tokenizer breaks a rendering rule
    ├── StorageError       a run directory cannot be read, written, locked or trusted
    ├── EngineError        an inference engine cannot start, died or answers with the wrong weights
    │   └── ContextError   a request is longer than the model's context
    ├── ClusterError       Ray cannot be started or joined
    ├── RolloutError       a rollout stage lost rows, made no progress or failed for too many of them
    ├── TrainingError      training cannot start, resume or export
    └── ServingError       the endpoint cannot start, be promoted or rolled back

A message says what failed, the value, and the way out. To add one: derive from the nearest class here, keep the
constructor's single message argument (errors cross process borders by pickle), and add it to the drawing.
"""


class ToolaceError(Exception):
    """Base of all errors raised on purpose; the command line prints its message without a traceback."""


class ConfigError(ToolaceError, ValueError):
    """A setting, a command-line value or a combination of settings is wrong."""


class DataError(ToolaceError, ValueError):
    """Input rows or files are missing, unreadable or unusable."""


class ParseError(ToolaceError, ValueError):
    """Text is not a tool call in the format asked for."""


class TemplateError(ToolaceError, ValueError):
    """A chat template or tokenizer breaks a rendering rule."""


class StorageError(ToolaceError, OSError):
    """A run directory cannot be read, written, locked or trusted."""


class EngineError(ToolaceError, RuntimeError):
    """An inference engine cannot start, died or answers with the wrong weights."""


class ContextError(EngineError):
    """A request is longer than the model's context."""


class ClusterError(ToolaceError, RuntimeError):
    """Ray cannot be started or joined."""


class RolloutError(ToolaceError, RuntimeError):
    """A rollout stage lost rows, made no progress or failed for too many of them."""


class TrainingError(ToolaceError, RuntimeError):
    """Training cannot start, resume or export."""


class ServingError(ToolaceError, RuntimeError):
    """The endpoint cannot start, be promoted or rolled back."""
