/// `roost notebook install`
enum NotebookInstall {
  static let command: Command = Command(
    "notebook install", "add the kernel \"Python 3 (Roost)\" to Jupyter",
    purpose: "Adds the kernel \"Python 3 (Roost)\" to Jupyter. Options it does not know go to the installer.",
    flags: [NotebookRun.pythonFlag], examples: ["roost notebook install", "roost notebook install --user"],
    passesThrough: true,
    run: { context in
      try PythonProgram(context).become(["-m", "roost.kernel", "install"] + context.parsed.passed)
    })
}
