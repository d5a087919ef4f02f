import Domain
import DriverAPI

/// Puts failures of an image node into the user's words.
struct ImageWords: Sendable {
  let launch: NodeLaunch
  let now: @Sendable () -> Timestamp
  /// What is given a login, and what its fields' names begin with.
  let subject: String
  let fields: String

  init(
    launch: NodeLaunch, now: @escaping @Sendable () -> Timestamp, subject: String = "the node",
    fields: String? = nil
  ) {
    self.launch = launch
    self.now = now
    self.subject = subject
    self.fields = fields ?? (launch.model == nil ? "image." : "model.")
  }

  func failure(
    _ phase: LastError.Phase, _ exitClass: LastError.ExitClass, _ message: String, lines: [String] = []
  ) -> DriverFailure {
    DriverFailure(
      LastError(
        phase: phase, exitClass: exitClass, message: message, traceback: lines,
        logReference: "roost node logs \(launch.nodeName)", at: now()))
  }

  /// The engine did not do its part.
  func launch(_ error: EngineError, doing: String) -> DriverFailure {
    switch error.kind {
    case .unreachable:
      failure(
        .launch, .hang,
        "\(error.message); start Docker, or say where its socket is: roost serve --engine PATH")
    case .silent, .broken, .malformed, .cancelled: failure(.launch, .hang, error.message)
    case .occupied: failure(.launch, .hang, "\(doing): \(error.message)")
    case .tooOld: failure(.launch, .refused, error.message)
    case .refused: failure(.launch, .hang, "\(doing): the container engine said: \(error.message)")
    }
  }

  /// The registry did not give the image.
  func registry(
    _ error: EngineError, image: ImageReference, login: RegistryLogin?, _ logins: RegistryLogins
  ) -> DriverFailure {
    let said = error.message.lowercased()
    let place = "registry \(image.registry)"
    if said.contains("no space left") {
      return failure(
        .launch, .hang, "image \(image.text) can't be stored: the disk of the container engine is full")
    }
    if error.kind == .refused(404) || said.contains("manifest unknown") || said.contains("not found") {
      return failure(
        .launch, .missing,
        "image \(image.text) does not exist in \(place): check its name and tag (the registry said: \(error.message))"
      )
    }
    if said.contains("no basic auth") || (error.isRefusalOfRegistry && login == nil) {
      let why =
        logins.helper(for: image.registry).map {
          "none is known (the login is kept by \($0), which roost does not run)"
        } ?? "none is known"
      return failure(
        .launch, .refused,
        "\(place) wants a login for image \(image.text) and \(why): give \(subject) --registry-user and --registry-password-secret (\(fields)passwordSecret), or run docker login \(image.registry) as the user of roost, or correct the image's name (the registry said: \(error.message))"
      )
    }
    if error.isRefusalOfRegistry, let secret = launch.image?.passwordSecret {
      return failure(
        .launch, .refused,
        "\(place) refuses user '\(login?.user ?? "")' (\(fields)registryUser) for image \(image.text): the password in secret '\(secret)' (\(fields)passwordSecret) is wrong, or the user may not pull the image; give the password anew with: roost secret update \(secret) (the registry said: \(error.message))"
      )
    }
    if error.isRefusalOfRegistry {
      return failure(
        .launch, .refused,
        "\(place) refuses user '\(login?.user ?? "")' for image \(image.text): the password is wrong or the user may not pull it (the registry said: \(error.message))"
      )
    }
    return failure(.launch, .hang, "\(place) can't be asked for image \(image.text): \(error.message)")
  }

  /// A container was not started.
  func start(_ error: EngineError, image: String) -> DriverFailure {
    if error.isOfEngine { return launch(error, doing: "starting a container") }
    let said = error.message
    if said.contains("no such file or directory"), said.contains("exec: ") {
      return failure(
        .launch, .missing, "the command \(Self.command(in: said)) does not exist in image \(image): \(said)")
    }
    if said.contains("permission denied"), said.contains("exec: ") {
      return failure(
        .launch, .refused,
        "the command \(Self.command(in: said)) of image \(image) can't be executed: \(said)")
    }
    if said.contains("bind source path does not exist"), launch.mounts != nil {
      return failure(
        .launch, .refused,
        "the container engine does not see the model repository in the data folder of roost (\(said)): run both on the same machine, with the data folder at the same path"
      )
    }
    if said.contains("bind source path does not exist") {
      return failure(
        .launch, .refused,
        "image.secretFiles: the container engine does not see the folder in memory where roost puts them (\(said)): run both on the same machine, or give the secrets as variables"
      )
    }
    if said.contains("could not select device driver") || said.contains("nvidia.com/gpu") {
      return failure(
        .launch, .refused,
        "the configuration of node '\(launch.nodeName)' has \(launch.gpus ?? 0) GPU, and the container engine can give none: install NVIDIA's driver and container toolkit and restart the engine, or take a configuration without GPU (roost configuration list): \(said)"
      )
    }
    if said.contains("unable to find user") {
      return failure(
        .launch, .missing,
        "user '\(launch.image?.runAs ?? "")' does not exist in image \(image): give a number, like 1000:1000")
    }
    if said.contains("No such image") {
      return failure(
        .launch, .hang, "image \(image) was removed from the container engine: it is got again")
    }
    if said.contains("No command specified") {
      return failure(
        .launch, .missing, "image \(image) has no command: give one with --command")
    }
    if said.contains("no space left") {
      return failure(.launch, .hang, "the disk of the container engine is full: \(said)")
    }
    return failure(.launch, .hang, "a container of image \(image) can't be started: \(said)")
  }

  /// What stands in quotes after `exec:`.
  private static func command(in text: String) -> String {
    let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
    guard let index = parts.firstIndex(where: { $0.hasSuffix("exec: ") }), index + 1 < parts.count else {
      return ""
    }
    return "'\(parts[index + 1])'"
  }
}

/// How a container ended.
struct ContainerEnd: Sendable {
  var instance: InstanceID
  var known: KnownContainer
  /// nil: it is not there any more.
  var state: ContainerDetails.State?
  var lines: [String]

  func error(at now: Timestamp) -> LastError {
    let (exitClass, words) = facts
    let said = lines.last.map { "; its last line: \($0.prefix(300))" } ?? "; it wrote nothing"
    let wrote = state == nil ? "" : said
    return LastError(
      phase: .execute, exitClass: exitClass, message: "instance \(instance) \(words)\(wrote)",
      traceback: lines,
      logReference: "roost node logs \(known.nodeName) --instance \(instance)", at: now)
  }

  private var facts: (LastError.ExitClass, String) {
    guard let state else {
      return (.missing, "is gone: its container was removed from the engine by somebody else")
    }
    if state.OOMKilled == true {
      let limit = known.memoryBytes > 0 ? " of \(known.memoryBytes >> 20) MiB" : ""
      return (
        .outOfMemory,
        "exceeded its memory limit\(limit); if it needs more, create the node with --memory or a larger --configuration"
      )
    }
    if let command = missingCommand {
      return (.missing, "did not start: the command '\(command)' does not exist in the image")
    }
    if let error = state.Error, !error.isEmpty { return (.exit, "ended: \(error)") }
    guard let code = state.ExitCode else { return (.missing, "ended; how isn't known") }
    switch code {
    case 126: return (.exit, "ended with exit code 126: its command can't be executed")
    case 127: return (.exit, "ended with exit code 127: a command was not found")
    case 129...159:
      let names: [Int32: String] = [
        2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
        15: "SIGTERM",
      ]
      let signal = code - 128
      return (.signal, "was ended by signal \(signal)\(names[signal].map { " (\($0))" } ?? "")")
    default: return (.exit, "ended with exit code \(code)")
    }
  }

  /// The engine's init says which file it did not find.
  private var missingCommand: String? {
    guard state?.ExitCode == 127, let line = lines.last(where: { $0.contains("[FATAL tini") }) else {
      return nil
    }
    let words = line.split(separator: " ")
    guard let start = words.firstIndex(of: "exec"), let end = words[start...].firstIndex(of: "failed:"),
      end + 1 < words.count, words[end + 1] == "No"
    else { return nil }
    return words[(start + 1)..<end].joined(separator: " ")
  }
}
