/// Compares what a checkpoint needs with what an environment has. Pure.
///
/// A distribution counts as needed when the cell imports it, or when it brought a module that a variable the cell
/// reaches (by its name, through functions, or in one group with another) can't be restored without.
public struct EnvironmentParity: Sendable {
  private let manifest: CheckpointManifest
  private let environment: String
  private let python: String?
  private let packages: [String: EnvironmentPackage]
  private let owners: [String: EnvironmentPackage]

  /// - Parameters:
  ///   - environment: its name, for messages.
  ///   - python: full version of its interpreter; nil leaves the comparison out.
  public init(
    _ manifest: CheckpointManifest, environment: String, python: String?, packages: [EnvironmentPackage]
  ) {
    self.manifest = manifest
    self.environment = environment
    self.python = python
    self.packages = Dictionary(packages.map { (Self.normalized($0.name), $0) }) { first, _ in first }
    owners = Dictionary(packages.flatMap { one in one.modules.map { ($0, one) } }) { first, _ in first }
  }

  /// What is missing first, then what differs.
  ///
  /// - Parameters:
  ///   - inputs: declared ones: their types need packages too, and their values are not restored.
  ///   - outputs: those that the cell never sets are restored.
  ///   - restoresAll: the whole state is restored, not only what the cell reaches.
  public func findings(
    inputs: [Variable] = [], outputs: [Variable] = [], restoresAll: Bool = false
  ) -> [EnvironmentFinding] {
    var found: [EnvironmentFinding] = []
    if let other = pythonFinding() { found.append(other) }
    let reached = restoresAll || !manifest.analysis.dynamic.isEmpty ? nil : reached(inputs, outputs)
    for need in needs {
      let users = need.variables.filter { reached?.contains($0) ?? true }
      if let finding = finding(need, users: users) { found.append(finding) }
    }
    for (variable, package) in typed(inputs) where packages[package] == nil {
      guard !found.contains(where: { $0.package == package && $0.kind == .missing }) else { continue }
      found.removeAll { $0.package == package }
      found.append(
        EnvironmentFinding(
          kind: .missing, package: package,
          message:
            "package \(package) is not in environment '\(environment)', and input '\(variable.name)' is declared as \(variable.type.rawValue); \(fix(package, nil))"
        ))
    }
    return EnvironmentParity.order.flatMap { kind in found.filter { $0.kind == kind } }
  }

  private static let order: [EnvironmentFinding.Kind] = [.missing, .differs, .unused]

  /// Lower case, runs of `-`, `_` and `.` as one `-` (PEP 503).
  public static func normalized(_ name: String) -> String {
    var result = ""
    for character in name.lowercased() {
      let isMark = character == "-" || character == "_" || character == "."
      if isMark, result.last == "-" { continue }
      result.append(isMark ? "-" : character)
    }
    return result
  }

  /// `3.11` of `3.11.7`.
  public static func minor(_ version: String) -> String {
    version.split(separator: ".").prefix(2).joined(separator: ".")
  }

  private func pythonFinding() -> EnvironmentFinding? {
    guard let python, Self.minor(python) != Self.minor(manifest.python.version) else { return nil }
    let wanted = manifest.python.version
    return EnvironmentFinding(
      kind: .missing, package: "python", wanted: wanted, found: python,
      message:
        "the checkpoint was made by Python \(wanted), environment '\(environment)' has Python \(python): functions of one minor version can't be loaded by another; create the environment with --python \(Self.minor(wanted)), or run the cell in a kernel with Python \(Self.minor(python)) and use its checkpoint"
    )
  }

  private func finding(
    _ need: CheckpointManifest.Distribution, users: [String]
  ) -> EnvironmentFinding? {
    let name = Self.normalized(need.name)
    let isNeeded = need.cell || !users.isEmpty
    if let there = packages[name] {
      guard there.version != need.version, isNeeded else { return nil }
      return EnvironmentFinding(
        kind: .differs, package: name, wanted: need.version, found: there.version,
        message:
          "package \(name) is \(there.version) in environment '\(environment)' and was \(need.version) in the notebook (\(who(need, users))); for the same version: \(fix(name, need.version))"
      )
    }
    let modules = need.modules.joined(separator: ", ")
    // Another distribution may bring the same modules (opencv-python-headless for opencv-python).
    let others = need.modules.compactMap { owners[$0] }
    if let other = others.first, others.count == need.modules.count {
      return isNeeded
        ? EnvironmentFinding(
          kind: .differs, package: name, wanted: need.version, found: "\(other.name) \(other.version)",
          message:
            "module \(modules) comes from \(other.name) \(other.version) in environment '\(environment)' and came from \(name) \(need.version) in the notebook (\(who(need, users)))"
        ) : nil
    }
    guard isNeeded else {
      return EnvironmentFinding(
        kind: .unused, package: name, wanted: need.version,
        message:
          "package \(name) \(need.version) of the notebook is not in environment '\(environment)'; this cell does without it"
      )
    }
    let through = modules == name || modules.isEmpty ? "" : " (module \(modules))"
    return EnvironmentFinding(
      kind: .missing, package: name, wanted: need.version,
      message:
        "package \(name) \(need.version)\(through) is not in environment '\(environment)', and \(who(need, users)); \(fix(name, need.version))"
    )
  }

  private func who(_ need: CheckpointManifest.Distribution, _ users: [String]) -> String {
    let shown = users.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
    let more = users.count > 3 ? " and \(users.count - 3) more" : ""
    if users.isEmpty { return "the cell imports it" }
    return (users.count == 1 ? "variable \(shown) needs it" : "variables \(shown)\(more) need it")
      + (need.cell ? ", and the cell imports it" : "")
  }

  private func fix(_ package: String, _ version: String?) -> String {
    let line = version.map { "\(package)==\($0)" } ?? package
    return
      "create an environment with '\(line)' in its requirements (roost environment create NAME --requirements FILE) and give it with --environment"
  }

  /// The manifest's list; of older checkpoints what the module variables tell.
  private var needs: [CheckpointManifest.Distribution] {
    if let listed = manifest.distributions { return listed }
    var found: [String: CheckpointManifest.Distribution] = [:]
    for variable in manifest.variables {
      guard let module = variable.module?.split(separator: ".").first.map(String.init),
        let version = manifest.packages[module]
      else { continue }
      let name = owners[module].map { Self.normalized($0.name) } ?? Self.normalized(module)
      found[
        name,
        default: .init(name: name, version: version, modules: [module], variables: [], cell: false)
      ].variables.append(variable.name)
    }
    return found.values.sorted { $0.name < $1.name }
  }

  /// Names of the variables that are restored for this cell: as the worker does it.
  private func reached(_ inputs: [Variable], _ outputs: [Variable]) -> Set<String> {
    let stored = Set(manifest.analysis.stores.map(\.name))
    var names = Set(manifest.analysis.uses.map(\.name))
    names.formUnion(outputs.map(\.name).filter { !stored.contains($0) })
    names.subtract(inputs.map(\.name))
    for group in manifest.groups where group.names.contains(where: names.contains) {
      names.formUnion(group.names)
    }
    return names
  }

  /// Inputs whose declared type is a class of a package.
  private func typed(_ inputs: [Variable]) -> [(Variable, String)] {
    inputs.compactMap { variable in
      switch variable.type {
      case .ndarray: (variable, "numpy")
      case .dataFrame: (variable, "pandas")
      case .image: (variable, "pillow")
      default: nil
      }
    }
  }
}
