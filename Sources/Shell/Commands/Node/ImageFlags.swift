internal import Domain

/// The flags of image nodes, for `create`, `validate` and `update`.
enum ImageFlags {
  static let flags: [Flag] =
    [
      Flag(
        "image", .text, value: "REFERENCE", "an image node: REPOSITORY[:TAG][@DIGEST] of a container image"),
      Flag("port", .integer, value: "PORT", "where the container listens; it gets the number as PORT"),
      Flag(
        "preset", .choice(["fastapi", "triton", "mlflow", "sagemaker"]),
        "usual port, endpoint and health check of such an image"),
      Flag("env", .text, value: "NAME=VALUE", "a variable of the container", repeatable: true),
      Flag(
        "secret-file", .text, value: "PATH=SECRET", "a file in memory with the value of a secret",
        repeatable: true),
      Flag(
        "registry-user", .text, value: "USER",
        "who asks the registry of --image or --triton-image, with --registry-password-secret (json_key)"),
      Flag(
        "registry-password-secret", .text, value: "SECRET", "the secret with the password for the registry"),
      Flag(
        "command", .text, value: "WORD", "instead of the image's entry point; once for each word",
        repeatable: true),
      Flag(
        "arg", .text, value: "WORD", "instead of the image's arguments; once for each word", repeatable: true),
      Flag("run-as", .text, value: "USER[:GROUP]", "instead of the image's user"),
      Flag("read-only-root", .choice(["on", "off"]), "the image's files can't be changed (on)"),
      Flag(
        "writable", .text, value: "PATH", "a path in memory that can be written (/run, /tmp, /var/tmp)",
        repeatable: true),
      Flag(
        "capability", .text, value: "NAME", "a Linux capability that is kept, like CHOWN", repeatable: true),
      Flag("shm-size", .size, "size of /dev/shm (64MiB)"),
      Flag("disk", .integer, value: "GB", "a volume for each instance, 10 to 4096"),
      Flag("disk-path", .text, value: "PATH", "where that volume is (/disk)"),
      Flag(
        "root-disk", .integer, value: "GB",
        "most that an instance writes to the image's files, with --read-only-root off (10)"),
      Flag("start-timeout", .duration, "an instance that is not healthy for this long is replaced (300s)"),
      Flag("drain-timeout", .duration, "longest time that requests may go on before SIGTERM (30s)"),
      Flag("stop-timeout", .duration, "time from SIGTERM to SIGKILL (10s)"),
    ] + telemetryFlags

  /// Also of `update`.
  static let telemetryFlags: [Flag] = [
    Flag(
      "telemetry", .text, value: "/PATH[:PORT]|none",
      "metrics that are pulled from each instance, shown under /metrics/nodes (the preset's)"),
    Flag("telemetry-interval", .duration, "time between pulls (15s)"),
  ]

  /// nil when there is no `--image`; its flags are refused then.
  static func image(
    _ parsed: ParsedArguments, _ command: Command, isUpdate: Bool = false
  ) throws(CommandFailure) -> RequestedImage? {
    let isModel = ModelFlags.areMeant(parsed)
    func words(_ flag: String) -> [String]? { parsed.texts(flag).isEmpty ? nil : parsed.texts(flag) }
    let asked = RequestedImage(
      reference: parsed.text("image"), preset: parsed.text("preset"), port: parsed.integer("port"),
      command: words("command"), args: words("arg"),
      environment: try pairs("env", "NAME=VALUE", parsed, command),
      secretFiles: try pairs("secret-file", "PATH=SECRET", parsed, command),
      registryUser: isModel ? nil : parsed.text("registry-user"),
      passwordSecret: isModel ? nil : parsed.text("registry-password-secret"),
      runAs: parsed.text("run-as"), readOnlyRoot: parsed.text("read-only-root").map { $0 == "on" },
      writablePaths: words("writable"), capabilities: words("capability"),
      sharedMemoryBytes: parsed.size("shm-size"), diskGigabytes: parsed.integer("disk"),
      diskPath: parsed.text("disk-path"), rootDiskGigabytes: parsed.integer("root-disk"),
      startTimeoutSeconds: parsed.duration("start-timeout").map(\.fractionalSeconds),
      drainSeconds: parsed.duration("drain-timeout").map(\.fractionalSeconds),
      stopSeconds: parsed.duration("stop-timeout").map(\.fractionalSeconds))
    if asked == RequestedImage() { return nil }
    guard asked.reference != nil || isUpdate else {
      throw .usage("give --image REFERENCE too: the other flags of image nodes say how it runs", command)
    }
    return asked
  }

  /// `/metrics`, `/metrics:9090`, `none`; nil when nothing of it was given.
  static func telemetry(
    _ parsed: ParsedArguments, _ command: Command
  ) throws(CommandFailure) -> RequestedTelemetry? {
    let interval = parsed.duration("telemetry-interval").map(\.fractionalSeconds)
    guard let text = parsed.text("telemetry") else {
      return interval.map { RequestedTelemetry(intervalSeconds: $0) }
    }
    if text == "none" { return RequestedTelemetry(type: "none", intervalSeconds: interval) }
    var asked = RequestedTelemetry(type: "prometheus", path: text, intervalSeconds: interval)
    if let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) {
      asked.path = String(text[..<colon])
      asked.port = port
    }
    guard text.hasPrefix("/") else {
      throw .usage("--telemetry: '\(text)' must be /PATH, /PATH:PORT or none", command)
    }
    return asked
  }

  /// Of cell nodes too.
  static let secretFlag = Flag(
    "secret", .text, value: "NAME=SECRET", "a variable with the value of a secret of the folder",
    repeatable: true)

  static func secrets(_ parsed: ParsedArguments, _ command: Command) throws(CommandFailure) -> [String:
    String]?
  {
    try pairs("secret", "NAME=SECRET", parsed, command)
  }

  private static func pairs(
    _ flag: String, _ form: String, _ parsed: ParsedArguments, _ command: Command
  ) throws(CommandFailure) -> [String: String]? {
    var result: [String: String] = [:]
    for text in parsed.texts(flag) {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw .usage("--\(flag): '\(text)' must be \(form)", command)
      }
      let name = String(text[..<equals])
      guard flag == "env" || result[name] == nil else {
        throw .usage("--\(flag): \(name) is given twice; give it once", command)
      }
      result[name] = String(text[text.index(after: equals)...])
    }
    return result.isEmpty ? nil : result
  }
}
