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
        drainSeconds: try seconds("drain", of: parsed, usual: 60), json: context.format == .json)
      throw ProgramEnd(code: await context.shell.upgrade(options))
    })

  private static func seconds(
    _ flag: String, of parsed: ParsedArguments, usual: Double
  ) throws(CommandFailure) -> Double {
    let value = parsed.duration(flag).map { $0 / .seconds(1) } ?? usual
    guard (1...86400).contains(value) else { throw .usage("--\(flag): must be from 1s to 24h", command) }
    return value
  }
}
