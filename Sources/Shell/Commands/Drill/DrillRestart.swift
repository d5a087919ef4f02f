internal import ControlClient
internal import Domain

/// How a drill restarts the server.
enum DrillRestart: Equatable {
  /// As `roost upgrade` does, of the data folder that was given, or of the one that the server tells and the one beside the
  /// token's file; whatever serves there must be the process that answers the drill's requests.
  case upgrade(dataFolder: String?, tokenFile: String?)
  case command(String)
  /// Not at all.
  case leftOut

  /// Of the flags of `roost drill`.
  static func chosen(_ context: Context) throws(CommandFailure) -> DrillRestart {
    let parsed = context.parsed
    let data = parsed.text("data")
    let command = parsed.text("restart")
    guard [data != nil, command != nil, parsed.toggle("no-restart")].count(where: { $0 }) <= 1 else {
      throw .usage("--data, --restart and --no-restart exclude each other: give one", Drill.command)
    }
    if parsed.toggle("no-restart") { return .leftOut }
    if let command { return .command(command) }
    return .upgrade(dataFolder: data, tokenFile: try context.target().tokenFile)
  }

  /// Where a process that can be upgraded may be, without repetitions.
  static func folders(_ given: String?, _ tokenFile: String?, _ server: ServerResource) -> [String] {
    if let given { return [given] }
    var found = [server.dataFolder]
    if let tokenFile = tokenFile.flatMap(LocalFile.resolved) {
      let beside = tokenFile.lastIndex(of: "/").map { String(tokenFile[..<$0]) } ?? ""
      if beside != LocalFile.resolved(server.dataFolder) { found.append(beside.isEmpty ? "/" : beside) }
    }
    return found
  }
}

extension DrillRun {
  /// How long another process may take to answer.
  private static let longest: Duration = .seconds(60)

  func restartServer() async throws -> Outcome {
    switch restart {
    case .leftOut: return .skipped("left out, as --no-restart says")
    case .command(let command): return try await restart(by: command)
    case .upgrade(let dataFolder, let tokenFile): return try await upgrade(dataFolder, tokenFile)
    }
  }

  // MARK: As roost upgrade does

  private func upgrade(_ dataFolder: String?, _ tokenFile: String?) async throws -> Outcome {
    let before: ServerResource
    do throws(ClientError) { before = try client.server() } catch {
      switch error.kind {
      case .refused("PERMISSION_DENIED"):
        return .skipped(
          "\(error.message): only then can it be told which process to restart. Give an admin's token, or --restart COMMAND"
        )
      case .refused("NOT_FOUND"):
        return .skipped("the server is too old to tell which process it is; give --restart COMMAND")
      default: throw error
      }
    }
    guard before.pid != 1 else {
      return .skipped(
        "the server is the first process of its container, which ends with it: give --restart COMMAND that has another container take over, or --no-restart"
      )
    }
    var reasons: [String] = []
    for folder in DrillRestart.folders(dataFolder, tokenFile, before) {
      let began = context.surroundings.uptime()
      let options = UpgradeOptions(dataFolder: folder, process: before.processId)
      switch await context.shell.upgrade(options) {
      case .unreachable(let why): reasons.append(why)
      case .silent:
        throw CommandFailure(
          .failed, "process \(before.pid) did not say what came of its upgrade: see its log")
      case .answered(let report) where report.isOther == true:
        reasons.append("\(folder) is the data folder of another server (process \(report.pid))")
      case .answered(let report):
        guard report.upgraded else {
          throw CommandFailure(.failed, "\(report.message); process \(report.pid) serves on as before")
        }
        return try await restarted(before, since: began, report: report)
      }
    }
    return .skipped(
      "no process to upgrade was found here: \(reasons.joined(separator: "; ")). Run the drill on the server's machine as the user of the service, with --data DIR where the folder is not \(before.dataFolder), or give --restart COMMAND"
    )
  }

  // MARK: By a command

  private func restart(by command: String) async throws -> Outcome {
    // Who may not see the process can restart it none the less.
    let before = try? client.server()
    let began = context.surroundings.uptime()
    _ = try HelperProgram(name: "sh").run(["-c", command], input: "", timeout: .seconds(120))
    if let before { return try await restarted(before, since: began, by: command) }
    try await wait("the server did not answer") { _ = try client.version() }
    return .done(
      "ran '\(command)'; the server answers, but not to this token which process it is")
  }

  // MARK: Both

  /// Waits until another process answers, and watches how the requests do with it.
  private func restarted(
    _ before: ServerResource, since began: Duration, report: UpgradeReport? = nil, by command: String? = nil
  ) async throws -> Outcome {
    var after = before
    try await wait("process \(before.pid) still answers") {
      after = try client.server()
      guard after.processId != before.processId else { throw CommandFailure(.failed, "") }
    }
    let seconds = (context.surroundings.uptime() - began) / .seconds(1)
    try await context.surroundings.pause(length)
    let now = try client.server()
    let seen = DrillReport.Restart(
      formerPid: before.pid, pid: after.pid, version: after.version, seconds: seconds,
      heldSeconds: report?.heldSeconds, leftConnections: report?.leftConnections,
      formerProcessDrains: now.formerProcessDrains)
    var note =
      "process \(after.pid) (roost \(after.version)) in place of \(before.pid), after \(DrillReport.rounded(seconds)) s"
    if let held = report?.heldSeconds { note += "; changes waited \(DrillReport.rounded(held)) s" }
    if let left = report?.leftConnections { note += "; \(left) connections were left to the old process" }
    if now.formerProcessDrains {
      note += ", which still drains \(DrillReport.rounded(length / .seconds(1))) s later"
    } else if report != nil {
      note += ", which has ended"
    }
    if let command { note += "; by '\(command)'" }
    return .restarted(seen, note)
  }

  /// Until the body does not throw. A server that is restarted may refuse connections meanwhile.
  private func wait(_ trouble: String, _ body: () throws -> Void) async throws {
    let began = context.surroundings.uptime()
    while true {
      var last = ""
      do {
        return try body()
      } catch let error as ClientError {
        last = error.message
      } catch let error as CommandFailure {
        last = error.message
      }
      guard context.surroundings.uptime() - began < Self.longest else {
        throw CommandFailure(
          .failed, "\(trouble) 60 s after the restart" + (last.isEmpty ? "" : ": \(last)"))
      }
      try await context.surroundings.pause(.milliseconds(50))
    }
  }
}
