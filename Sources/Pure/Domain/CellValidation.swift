/// The static checks of a cell node: what can be refused before anything runs.
public enum CellValidation {
  /// Throws the first problem in the order a user would fix them.
  ///
  /// - inputs and outputs: names, types, no duplicates;
  /// - the cell must not use a shell, must not overwrite an input, must find every variable it uses;
  /// - outputs must exist once the cell has run.
  public static func check(
    inputs: [RequestedVariable], outputs: [RequestedVariable], manifest: CheckpointManifest
  ) throws(PlatformError) -> (inputs: [Variable], outputs: [Variable]) {
    let inputs = try declared(inputs, field: "inputs")
    let outputs = try declared(outputs, field: "outputs")
    guard !outputs.isEmpty else {
      throw .invalid(
        "outputs", "outputs: declare at least one output variable, like --output output_data:dict")
    }
    try checkShell(manifest)
    try checkOverwrites(inputs, manifest)
    try checkUses(inputs, manifest)
    try checkOutputs(inputs, outputs, manifest)
    let seen = Dictionary(manifest.variables.map { ($0.name, $0) }) { first, _ in first }
    return (inputs.map { $0.refined(by: seen[$0.name]) }, outputs.map { $0.refined(by: seen[$0.name]) })
  }

  private static func declared(_ requested: [RequestedVariable], field: String) throws(PlatformError)
    -> [Variable]
  {
    var seen = Set<String>()
    var result: [Variable] = []
    for (index, variable) in requested.enumerated() {
      let path = "\(field)[\(index)]"
      guard isIdentifier(variable.name) else {
        throw .invalid("\(path).name", "\(path).name: '\(variable.name)' is not a Python variable name")
      }
      guard let type = VariableType(rawValue: variable.type) else {
        let known = VariableType.allCases.map(\.rawValue).joined(separator: ", ")
        throw .invalid(
          "\(path).type",
          "\(path).type: '\(variable.type)' of '\(variable.name)' is not a known type; use one of \(known)")
      }
      guard seen.insert(variable.name).inserted else {
        throw .invalid("\(path).name", "\(path).name: '\(variable.name)' is declared twice; remove one")
      }
      result.append(Variable(name: variable.name, type: type))
    }
    return result
  }

  private static func checkShell(_ manifest: CheckpointManifest) throws(PlatformError) {
    guard let shell = manifest.analysis.shell.first else { return }
    throw .invalid(
      "checkpoint",
      "checkpoint: line \(shell.line) of the cell runs a shell or package command (\(shell.text)); a node can't: move it to an earlier cell, run the deployed cell again and pin the new checkpoint"
    )
  }

  private static func checkOverwrites(_ inputs: [Variable], _ manifest: CheckpointManifest)
    throws(PlatformError)
  {
    for (index, input) in inputs.enumerated() {
      guard let store = manifest.analysis.stores.first(where: { $0.name == input.name }) else { continue }
      throw .invalid(
        "inputs[\(index)].name",
        "inputs[\(index)].name: the cell overwrites its input '\(input.name)' at line \(store.line)\(quoted(store.line, manifest)); set it in an earlier cell, or don't declare it as an input"
      )
    }
  }

  private static func checkUses(_ inputs: [Variable], _ manifest: CheckpointManifest) throws(PlatformError) {
    let bound = Set(inputs.map(\.name))
    for use in manifest.analysis.uses where !bound.contains(use.name) {
      guard let failure = manifest.errors.first(where: { $0.name == use.name }) else { continue }
      let hint = failure.hint.map { "; \($0)" } ?? ""
      throw .invalid(
        "checkpoint",
        "checkpoint: the cell uses '\(use.name)' (\(failure.type)) at line \(use.line)\(route(use)), which could not be saved: \(failure.where) is a \(failure.culprit) (\(failure.reason))\(hint)"
      )
    }
    for use in manifest.analysis.unresolved where !bound.contains(use.name) {
      throw .invalid(
        "checkpoint",
        "checkpoint: the cell uses '\(use.name)' at line \(use.line)\(route(use)), which is not in the checkpoint: it was never set in the notebook; define it in an earlier cell or declare it with --input \(use.name):TYPE"
      )
    }
  }

  private static func checkOutputs(
    _ inputs: [Variable], _ outputs: [Variable], _ manifest: CheckpointManifest
  ) throws(PlatformError) {
    let known = Set(manifest.variables.map(\.name)).union(manifest.analysis.stores.map(\.name)).union(
      inputs.map(\.name))
    for (index, output) in outputs.enumerated() where !known.contains(output.name) {
      let set = manifest.analysis.stores.map(\.name).joined(separator: ", ")
      throw .invalid(
        "outputs[\(index)].name",
        "outputs[\(index)].name: the cell never sets '\(output.name)' and the checkpoint has no such variable; the cell sets: \(set.isEmpty ? "nothing" : set)"
      )
    }
  }

  private static func route(_ use: CheckpointManifest.NameUse) -> String {
    let via = use.via ?? []
    return via.isEmpty ? "" : " through \(via.joined(separator: " → "))"
  }

  /// The text of a line of the cell, for people.
  private static func quoted(_ line: Int, _ manifest: CheckpointManifest) -> String {
    let lines = manifest.cell.source.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.indices.contains(line - 1) else { return "" }
    return " (\(lines[line - 1].drop { $0 == " " }))"
  }

  private static func isIdentifier(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, bytes.count <= 255 else { return false }
    let letter: (UInt8) -> Bool = {
      (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || $0 == 0x5f || $0 >= 0x80
    }
    return letter(first) && bytes.allSatisfy { letter($0) || (0x30...0x39).contains($0) }
  }
}
