internal import Domain

/// `roost upgrade`
enum Upgrade {
  static let command: Command = Command(
    "upgrade", "have another process take over without a gap",
    purpose:
      "Starts a new process of the service that runs on a data folder, with the same flags. It gets the listening sockets, the data folder and the instances; the old process answers what it was asked, lets streams go on for a while, and ends. A new process that does not start, or is not healthy, is ended: the old one serves on (exit code 1). To be run by the user of the service.",
    flags: [
      Flag("data", .text, value: "DIR", "the data folder of the service (./data)"),
      Flag(
        "binary", .text, value: "PATH",
        "the program to go on with (the file that the service was started from, as it is by now)"),
      Flag("timeout", .duration, "for the new process to take over; then the old one serves on (60s)"),
      Flag(
        "drain", .duration,
        "for streams and WebSockets of the old process; then they end as their protocols say (60s)"),
    ],
    examples: [
      "roost upgrade --data /var/lib/roost", "roost upgrade --data ./data --binary ./roost-new --drain 10m",
    ],
    run: { context in
      let parsed = context.parsed
      var binary = parsed.text("binary")
      if let path = binary {
        binary = LocalFile.resolved(path)
        guard binary != nil else { throw CommandFailure.usage("--binary: there is no file \(path)", command) }
      }
      let options = UpgradeOptions(
        dataFolder: parsed.text("data") ?? "./data", binary: binary,
        timeoutSeconds: try seconds("timeout", of: parsed, usual: 60),
        drainSeconds: try seconds("drain", of: parsed, usual: 60))
      switch await context.shell.upgrade(options) {
      case .unreachable(let why):
        throw CommandFailure(
          .unavailable,
          "no roost serves the data folder \(options.dataFolder), or not for this user: \(why)")
      case .silent:
        throw CommandFailure(.failed, "the process that serves did not say what came of it: see its log")
      case .answered(let report):
        if report.upgraded {
          try context.show(report, names: [String(report.pid)]) { text(report, options) }
        } else {
          if context.format == .json { try context.show(report, names: []) { "" } }
          throw CommandFailure(.failed, "\(report.message); process \(report.pid) serves on as before")
        }
      }
    })

  private static func text(_ report: UpgradeReport, _ options: UpgradeOptions) -> String {
    "\(report.message) (roost \(report.version)), after \(rounded(report.seconds)) s; changes by the API waited for \(rounded(report.heldSeconds)) s; the old process ends when its last request has, within \(rounded(options.drainSeconds + 10)) s\n"
  }

  private static func rounded(_ seconds: Double) -> String {
    let tenths = Int((seconds * 10).rounded(.up))
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func seconds(
    _ flag: String, of parsed: ParsedArguments, usual: Double
  ) throws(CommandFailure) -> Double {
    let value = parsed.duration(flag).map { $0 / .seconds(1) } ?? usual
    guard (1...86400).contains(value) else { throw .usage("--\(flag): must be from 1s to 24h", command) }
    return value
  }
}
