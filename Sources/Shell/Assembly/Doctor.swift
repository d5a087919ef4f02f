import Environments
import FoundationEssentials
import Glibc
import Sandboxing

/// `roost doctor`: what this machine can do, what is missing, and how to get it.
public enum Doctor {
  /// Prints the report; 0 when nothing that is needed is missing.
  public static func run(dataFolder: String = ".", python: String? = nil, asJSON: Bool = false) async -> Int32
  {
    let finder = try? PythonFinder(python)
    var report = MachineReport.make(
      dataFolder: dataFolder, python: finder?.python ?? python, pythonPath: finder?.packageFolder)
    report.findings.append(uv(finder?.python ?? python ?? "python3"))
    if asJSON { printJSON(report) } else { print(report) }
    return report.verdict == .missing ? 1 : 0
  }

  private static func uv(_ python: String) -> MachineReport.Finding {
    let meaning = "makes environments for cell nodes (roost environment create)"
    guard let path = EnvironmentBuilder.uv(beside: python),
      let asked = try? CommandOutput.run(path, ["--version"]), asked.succeeded
    else {
      return MachineReport.Finding(
        name: "uv", verdict: .warn, found: "neither beside \(python) nor on PATH", meaning: meaning,
        advice: "\(python) -m pip install uv")
    }
    let version = asked.text.split(separator: "\n").first.map(String.init) ?? "uv"
    return MachineReport.Finding(name: "uv", verdict: .ok, found: "\(version) at \(path)", meaning: meaning)
  }

  private static func printJSON(_ report: MachineReport) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    guard let text = try? encoder.encode(report) else { return }
    Swift.print(String(decoding: text, as: UTF8.self))
  }

  private static func verdict(_ report: MachineReport) -> String {
    let lacking = report.findings.filter { $0.verdict == .missing }.map(\.name)
    switch report.verdict {
    case .ok: return "This machine can run cell nodes with all limits."
    case .warn:
      return "This machine can run cell nodes; what is marked warn is not limited or not as it should be."
    case .missing:
      return
        "Cell nodes can't run here as they should: \(lacking.joined(separator: ", ")) missing. Address nodes can."
    }
  }

  private static func print(_ report: MachineReport) {
    let width = report.findings.map(\.name.count).max() ?? 0
    for finding in report.findings {
      let mark =
        switch finding.verdict {
        case .ok: "ok     "
        case .warn: "warn   "
        case .missing: "MISSING"
        }
      let name = finding.name + String(repeating: " ", count: width - finding.name.count)
      Swift.print("\(mark)  \(name)  \(finding.found)")
      guard finding.verdict != .ok else { continue }
      Swift.print("         \(String(repeating: " ", count: width))  \(finding.meaning)")
      if let advice = finding.advice {
        Swift.print("         \(String(repeating: " ", count: width))  fix: \(advice)")
      }
    }
    Swift.print("\n\(verdict(report))")
  }
}
