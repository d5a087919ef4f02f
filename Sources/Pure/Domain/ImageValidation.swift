/// The static checks of an image node, with the defaults of what was left out.
public enum ImageValidation {
  /// Usual settings of a kind of server.
  struct Preset {
    var port: Int
    var type = "http"
    var path: String?
    /// Where it tells its metrics, and the port if it is another.
    var metrics: String?
    var metricsPort: Int?
    /// Beside the platform's own.
    var sharedMemoryBytes: Int64 = 64 << 20
  }

  static let presets: [String: Preset] = [
    "fastapi": Preset(port: 8000, path: "/health", metrics: "/metrics"),
    "mlflow": Preset(port: 8080, path: "/ping"),
    "sagemaker": Preset(port: 8080, path: "/ping"),
    "triton": Preset(
      port: 8000, path: "/v2/health/ready", metrics: "/metrics", metricsPort: 8002, sharedMemoryBytes: 1 << 30
    ),
  ]

  /// Throws the first problem in the order a user would fix them.
  public static func source(
    _ asked: RequestedImage?, endpoint: RequestedEndpoint?, healthCheck: RequestedHealthCheck?,
    telemetry: RequestedTelemetry? = nil
  ) throws(PlatformError) -> ImageSource {
    let asked = asked ?? RequestedImage()
    guard let reference = asked.reference, !reference.isEmpty else {
      throw .invalid(
        "image.reference", "image.reference: a node of kind image needs one, like ghcr.io/team/app:1.2")
    }
    _ = try ImageReference(reference, field: "image.reference")
    let preset = try preset(asked.preset)
    guard let port = asked.port ?? endpoint?.port ?? preset?.port else {
      throw .invalid(
        "image.port",
        "image.port: say where the container listens, like 8080; it also gets the number as PORT")
    }
    try FieldCheck.port(port, "image.port")
    var settings = endpoint ?? RequestedEndpoint()
    settings.type = settings.type ?? preset?.type
    var probe = healthCheck
    if probe == nil, let path = preset?.path { probe = RequestedHealthCheck(type: "http", path: path) }
    let defaults = ImageSource(reference: reference, port: port)
    let source = ImageSource(
      reference: reference, port: port, endpoint: try AddressValidation.settings(settings),
      healthCheck: try probe.map(AddressValidation.check),
      telemetry: try TelemetryValidation.settings(
        telemetry, port: port,
        preset: preset.flatMap { preset in
          preset.metrics.map { TelemetrySettings(path: $0, port: preset.metricsPort ?? port) }
        }), command: asked.command, args: asked.args,
      environment: asked.environment ?? [:], secrets: asked.secrets, secretFiles: asked.secretFiles,
      registryUser: asked.passwordSecret == nil ? asked.registryUser : asked.registryUser ?? "json_key",
      passwordSecret: asked.passwordSecret, runAs: asked.runAs,
      readOnlyRoot: asked.readOnlyRoot ?? true,
      writablePaths: asked.writablePaths ?? defaults.writablePaths,
      capabilities: (asked.capabilities ?? []).map { $0.uppercased() },
      sharedMemoryBytes: asked.sharedMemoryBytes ?? preset?.sharedMemoryBytes ?? defaults.sharedMemoryBytes,
      diskGigabytes: asked.diskGigabytes, diskPath: asked.diskPath ?? defaults.diskPath,
      rootDiskGigabytes: asked.rootDiskGigabytes,
      startTimeoutSeconds: asked.startTimeoutSeconds ?? defaults.startTimeoutSeconds,
      drainSeconds: asked.drainSeconds ?? defaults.drainSeconds,
      stopSeconds: asked.stopSeconds ?? defaults.stopSeconds)
    try check(source)
    return source
  }

  private static func preset(_ name: String?) throws(PlatformError) -> Preset? {
    guard let name else { return nil }
    guard let preset = presets[name] else {
      throw .invalid(
        "image.preset",
        "image.preset: '\(name)' is not known; use one of \(presets.keys.sorted().joined(separator: ", "))")
    }
    return preset
  }

  private static func check(_ source: ImageSource) throws(PlatformError) {
    for (name, value) in source.environment.sorted(by: { $0.key < $1.key }) {
      try checkVariable(name, value)
    }
    try checkSecrets(source)
    try checkWords(source.command, "image.command")
    try checkWords(source.args, "image.args")
    for (index, path) in source.writablePaths.enumerated() {
      try checkPath(path, "image.writablePaths[\(index)]")
    }
    try checkPath(source.diskPath, "image.diskPath")
    for (index, name) in source.capabilities.enumerated() where !capabilities.contains(name) {
      throw .invalid(
        "image.capabilities[\(index)]",
        "image.capabilities[\(index)]: '\(name)' can't be given; use one of \(capabilities.sorted().joined(separator: ", "))"
      )
    }
    if let user = source.runAs, user.isEmpty || user.utf8.contains(where: { $0 <= 0x20 || $0 > 0x7e }) {
      throw .invalid("image.runAs", "image.runAs: '\(user)' is not USER or USER:GROUP, like 1000:1000")
    }
    try FieldCheck.within(
      Double(source.sharedMemoryBytes), 1_048_576...1_099_511_627_776, "image.sharedMemoryBytes", "bytes")
    if let disk = source.diskGigabytes {
      try FieldCheck.within(Double(disk), 10...4096, "image.diskGigabytes", "GB")
    }
    if let disk = source.rootDiskGigabytes {
      try FieldCheck.within(Double(disk), 1...4096, "image.rootDiskGigabytes", "GB")
      guard !source.readOnlyRoot else {
        throw .invalid(
          "image.rootDiskGigabytes",
          "image.rootDiskGigabytes: the image's files can't be changed, there is nothing to limit; leave it out, or give image.readOnlyRoot false"
        )
      }
    }
    try FieldCheck.within(source.startTimeoutSeconds, 1...86400, "image.startTimeoutSeconds", "seconds")
    try FieldCheck.within(source.drainSeconds, 0...86400, "image.drainSeconds", "seconds")
    try FieldCheck.within(source.stopSeconds, 0...3600, "image.stopSeconds", "seconds")
  }

  /// What the engine would give by default, less what reaches beyond the container.
  static let capabilities: Set<String> = [
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID",
    "SYS_NICE", "IPC_LOCK",
  ]

  private static func checkVariable(_ name: String, _ value: String) throws(PlatformError) {
    let field = "image.environment.\(name)"
    try checkVariableName(name, in: "image.environment")
    guard value.utf8.count <= 65536, !value.utf8.contains(0) else {
      throw .invalid(field, "\(field): must have at most 65536 bytes and no zero byte")
    }
  }

  private static func checkVariableName(_ name: String, in field: String) throws(PlatformError) {
    try SecretValidation.checkVariable(name, in: field)
    guard name != "PORT" else {
      throw .invalid("\(field).\(name)", "\(field).\(name): is set by the platform; give image.port")
    }
  }

  private static func checkSecrets(_ source: ImageSource) throws(PlatformError) {
    for (name, secret) in (source.secrets ?? [:]).sorted(by: { $0.key < $1.key }) {
      try checkVariableName(name, in: "image.secrets")
      guard source.environment[name] == nil else {
        throw .invalid(
          "image.secrets.\(name)", "image.secrets.\(name): is given in image.environment too; give it once")
      }
      try SecretValidation.checkName(secret, "image.secrets.\(name)")
    }
    for (path, secret) in (source.secretFiles ?? [:]).sorted(by: { $0.key < $1.key }) {
      try checkPath(path, "image.secretFiles")
      guard !source.writablePaths.contains(path), source.diskGigabytes == nil || source.diskPath != path
      else {
        throw .invalid(
          "image.secretFiles.\(path)",
          "image.secretFiles.\(path): is a folder of the instance (image.writablePaths, image.diskPath); give a path of a file"
        )
      }
      try SecretValidation.checkName(secret, "image.secretFiles.\(path)")
    }
    try checkLogin(user: source.registryUser, secret: source.passwordSecret, prefix: "image.")
  }

  /// - Parameter prefix: of the fields' names.
  public static func checkLogin(user: String?, secret: String?, prefix: String) throws(PlatformError) {
    guard let secret else {
      guard user == nil else {
        throw .invalid(
          "\(prefix)registryUser",
          "\(prefix)registryUser: give \(prefix)passwordSecret too, the name of the secret with this user's password"
        )
      }
      return
    }
    try SecretValidation.checkName(secret, "\(prefix)passwordSecret")
    let user = user ?? "json_key"
    guard !user.isEmpty, user.utf8.count <= 256, !user.utf8.contains(where: { $0 < 0x20 || $0 == 0x3a })
    else {
      throw .invalid("\(prefix)registryUser", "\(prefix)registryUser: '\(user)' is not a user name")
    }
  }

  private static func checkWords(_ words: [String]?, _ field: String) throws(PlatformError) {
    guard let words else { return }
    let size = words.reduce(0) { $0 + $1.utf8.count }
    guard words.count <= 1000, size <= 65536, !words.contains(where: { $0.utf8.contains(0) }) else {
      throw .invalid(field, "\(field): at most 1000 words of 65536 bytes together, none with a zero byte")
    }
    if let first = words.first, first.isEmpty {
      throw .invalid("\(field)[0]", "\(field)[0]: is empty; leave \(field) out for what the image has")
    }
  }

  private static func checkPath(_ path: String, _ field: String) throws(PlatformError) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    guard path.hasPrefix("/"), path.utf8.count <= 1024,
      path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x3a }),
      !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." })
    else {
      throw .invalid(field, "\(field): '\(path)' is not an absolute path in the container, like /cache")
    }
  }
}
