/// `roost notebook run`
enum NotebookRun {
  static let pythonFlag = Flag(
    "python", .text, value: "PATH", "the Python to use (ROOST_PYTHON; found by itself)")

  static let command: Command = Command(
    "notebook run", "execute one; every cell run is a checkpoint",
    purpose: "Executes a notebook through the Roost kernel. Options it does not know go to the runner.",
    arguments: [Positional("FILE.ipynb", "the notebook")],
    flags: [
      pythonFlag, Flag("output", .text, value: "FILE", "write the executed notebook here"),
      Flag("timeout", .duration, "longest time of a cell (1h)"),
    ], examples: ["roost notebook run examples/randomizer/randomizer.ipynb"], passesThrough: true,
    run: { context in
      let parsed = context.parsed
      guard !parsed.passed.isEmpty else {
        throw CommandFailure.usage("FILE.ipynb is missing", NotebookRun.command)
      }
      var arguments = ["-m", "roost.notebook", "run"] + parsed.passed
      if let file = parsed.text("output") { arguments += ["--output", file] }
      if let limit = parsed.duration("timeout") { arguments += ["--timeout", String(limit.wholeSeconds)] }
      if context.isQuiet { arguments.append("--quiet") }
      try PythonProgram(context).become(arguments)
    })
}
