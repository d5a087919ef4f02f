/// What an environment may be asked to hold. Pure.
public enum EnvironmentRequirements {
  public static let maximumBytes = 1 << 20

  /// Lists of packages by name. `default` is what the server's own environment has at least.
  public static let presets: [String: [String]] = [
    "default": standard,
    "torch": standard + ["torch", "torchvision"],
    "tensorflow": standard + ["tensorflow"],
    "boosting": standard + ["xgboost", "lightgbm", "catboost"],
    "onnx": standard + ["onnx", "onnxruntime"],
    "transformers": standard + ["torch", "transformers"],
  ]

  /// The packages of the default environment (`python/requirements-default.txt`).
  public static let standard = [
    "numpy", "pandas", "scikit-learn", "scipy", "pillow", "requests", "cloudpickle", "orjson",
  ]

  /// The text to resolve, and whether it is a lock; throws what is wrong with the request, by field and line.
  public static func text(_ request: CreateEnvironmentRequest) throws(PlatformError) -> (
    text: String, isLock: Bool
  ) {
    try checkLogin(request)
    if let image = request.image {
      let others = [request.requirements, request.lock, request.python, request.indexUrl]
      guard others.allSatisfy({ $0 == nil }), request.presets ?? [] == [], request.findLinks ?? [] == [],
        request.offline != true, request.allowSource != true
      else {
        throw .invalid(
          "image", "image: an image is whole; leave out packages, python and where packages come from")
      }
      do { _ = try ImageReference(image) } catch {
        throw .invalid("image", "image: \(error.message)")
      }
      return ("", false)
    }
    if let lock = request.lock {
      guard request.requirements == nil, request.presets ?? [] == [] else {
        throw .invalid(
          "lock", "lock: a lock is whole; leave out requirements and presets, or give those alone")
      }
      try check(lock, field: "lock", isLock: true)
      return (lock, true)
    }
    var lines: [String] = []
    for (index, name) in (request.presets ?? []).enumerated() {
      guard let preset = presets[name] else {
        throw .invalid(
          "presets[\(index)]",
          "presets[\(index)]: '\(name)' is not known; use one of \(presets.keys.sorted().joined(separator: ", "))"
        )
      }
      for line in preset where !lines.contains(line) { lines.append(line) }
    }
    if let requirements = request.requirements {
      try check(requirements, field: "requirements", isLock: false)
      lines.append(requirements)
    }
    guard !lines.isEmpty else {
      throw .invalid(
        "requirements",
        "requirements: give requirements (--requirements FILE), a lock (--lock FILE), a preset (--preset NAME) or an image (--image REFERENCE)"
      )
    }
    return (lines.joined(separator: "\n"), false)
  }

  private static func checkLogin(_ request: CreateEnvironmentRequest) throws(PlatformError) {
    let field = request.passwordSecret == nil ? "registryUser" : "passwordSecret"
    guard request.image != nil || (request.registryUser == nil && request.passwordSecret == nil) else {
      throw .invalid(
        field, "\(field): is the login for an image's registry; give image too (--image REFERENCE)")
    }
    try ImageValidation.checkLogin(user: request.registryUser, secret: request.passwordSecret, prefix: "")
  }

  /// Options and paths would be read on the server: only packages, markers and hashes may stand here.
  private static func check(_ text: String, field: String, isLock: Bool) throws(PlatformError) {
    guard text.utf8.count <= maximumBytes else {
      throw .invalid(field, "\(field): \(text.utf8.count) bytes are more than \(maximumBytes)")
    }
    guard !text.utf8.contains(0) else { throw .invalid(field, "\(field): it holds a zero byte") }
    var isContinued = false
    var count = 0
    for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = trimmed(uncommented(raw))
      let continues = isContinued
      isContinued = line.last == "\\"
      guard !line.isEmpty, line.first != "#" else { continue }
      let place = "\(field): line \(index + 1)"
      if line.hasPrefix("-") {
        guard continues || line.hasPrefix("--hash=") else {
          let word = line.prefix { $0 != " " && $0 != "=" }
          throw .invalid(
            field,
            "\(place): the option '\(word)' is not taken here; write packages only, and give the index with --index-url, other places with --find-links"
          )
        }
        continue
      }
      guard let first = line.utf8.first, isNameByte(first),
        !line.contains("://") || line.contains("@ https://")
      else {
        throw .invalid(
          field,
          "\(place): '\(line.prefix(80))' is not a package by name, like pandas==2.2.3 or name @ https://…")
      }
      count += 1
      if isLock, !line.contains("==") {
        throw .invalid(
          field,
          "\(place): '\(line.prefix(80))' has no version; make a lock with `uv pip compile --generate-hashes`, or give the file with --requirements"
        )
      }
    }
    guard count > 0 else { throw .invalid(field, "\(field): there is no package in it") }
    if isLock, !text.contains("--hash=sha256:") {
      throw .invalid(
        field,
        "\(field): it has no hashes; make a lock with `uv pip compile --generate-hashes`, or give the file with --requirements"
      )
    }
  }

  /// A comment begins at the line's start or behind a blank: `#` alone may stand in an address.
  private static func uncommented(_ line: Substring) -> Substring {
    guard let mark = line.firstRange(of: " #") else { return line.first == "#" ? "" : line }
    return line[..<mark.lowerBound]
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var rest = text.drop { $0.isWhitespace }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return rest
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
  }

  /// A minor version of Python that cell nodes can run.
  public static func checkPython(_ text: String) throws(PlatformError) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0] == "3", let minor = Int(parts[1]), (9...99).contains(minor) else {
      throw .invalid("python", "python: '\(text)' is not a minor version of Python from 3.9 on, like 3.11")
    }
  }

  /// Where packages come from: `https://` (or `http://`), without a password, which would be stored as it is.
  public static func checkURL(_ text: String, _ field: String) throws(PlatformError) {
    guard text.hasPrefix("https://") || text.hasPrefix("http://"), text.utf8.count <= 2048,
      text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { throw .invalid(field, "\(field): '\(text.prefix(200))' is not an http:// or https:// address") }
    guard !text.drop(while: { $0 != "/" }).dropFirst(2).prefix(while: { $0 != "/" }).contains("@") else {
      throw .invalid(
        field, "\(field): a password in the address would be stored and shown; use an index that needs none")
    }
  }
}
