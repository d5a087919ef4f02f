import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing

/// Names a host: one release of a node.
struct HostKey: Hashable, Sendable, CustomStringConvertible {
  var node: NodeID
  var release: Int

  init(_ node: NodeID, _ release: Int) {
    self.node = node
    self.release = release
  }

  /// Reads what `description` writes.
  init?(_ text: String) {
    let parts = text.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, let node = NodeID(String(parts[0])), let release = Int(parts[1]) else {
      return nil
    }
    self.init(node, release)
  }

  var description: String { "\(node)-\(release)" }
}

/// `DATA/run/NODE-RELEASE`: all that a host reads and writes, and the record by which it's found again.
struct RunFolder: Sendable {
  /// `NODE-RELEASE`, also the name of the node's cgroup.
  let name: String
  let path: String
  let logFolder: String

  init(dataFolder: String, key: HostKey) {
    name = key.description
    path = "\(dataFolder)/run/\(key)"
    logFolder = "\(dataFolder)/logs/\(key.node)"
  }

  var configuration: String { "\(path)/zygote.json" }
  var manifest: String { "\(path)/manifest.json" }
  var blobs: String { "\(path)/blobs" }
  var sockets: String { "\(path)/sock" }
  var zygoteSocket: String { "\(sockets)/zygote.sock" }
  var settings: String { "\(path)/etc" }
  /// What the zygote prints before its own logging works, and tracebacks of a crash.
  var output: String { "\(path)/output.txt" }
  /// bubblewrap writes the exit code here, so that it's known after a restart of the service too.
  var status: String { "\(path)/status.json" }
  var record: String { "\(path)/host.json" }
  var log: String { "\(logFolder)/node.jsonl" }

  /// Where an instance notes which request it runs.
  func mark(of instance: InstanceID) -> String { "\(sockets)/\(instance).run" }

  /// The request that an instance was running when it ended. Written by the cell's process: only to be shown.
  func request(of instance: InstanceID) -> String? {
    guard let bytes = Files.readPlain(mark(of: instance), limit: 128), let count = bytes.first else {
      return nil
    }
    return Self.requestName(bytes.dropFirst().prefix(Int(count)).prefix { $0 != 0x20 })
  }

  /// A request's name as a cell's process gives it; nil when it can't be one.
  static func requestName(_ bytes: some Collection<UInt8>) -> String? {
    guard (1...64).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  func socket(of instance: InstanceID) -> String { "\(sockets)/\(instance).sock" }

  /// Makes the folders and links the checkpoint's files into them.
  func fill(_ launch: NodeLaunch) throws(RunFolderFailure) {
    do {
      for folder in [path, blobs, sockets, settings, logFolder] { try Files.makeFolder(folder) }
      try Files.write(
        Array("nobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin\n".utf8), to: "\(settings)/passwd",
        mode: 0o644)
      try Files.write(Array("nogroup:x:65534:\n".utf8), to: "\(settings)/group", mode: 0o644)
    } catch {
      throw .system(error)
    }
    guard Files.exists(launch.manifestPath) else {
      throw .checkpoint("the checkpoint's manifest is missing in the registry (\(launch.manifestPath))")
    }
    try link(launch.manifestPath, to: manifest)
    let sizes = try Self.sizes(manifest)
    var given = Set<String>()
    for source in launch.blobPaths {
      let name = source.split(separator: "/").last.map(String.init) ?? source
      guard given.insert(name).inserted else { continue }
      guard let size = Files.size(source) else {
        throw .checkpoint("blob sha256:\(name) of the checkpoint is missing in the registry (\(source))")
      }
      if let expected = sizes[name], expected != size {
        throw .checkpoint(
          "blob sha256:\(name) of the checkpoint is corrupt: \(size) bytes instead of \(expected)")
      }
      try link(source, to: "\(blobs)/\(name)")
    }
    if let lacking = sizes.keys.sorted().first(where: { !given.contains($0) }) {
      throw .checkpoint("blob sha256:\(lacking), which the manifest names, was not given to the driver")
    }
  }

  private func link(_ source: String, to target: String) throws(RunFolderFailure) {
    do { try Files.linkOrCopy(source, to: target) } catch { throw .system(error) }
  }

  /// Sizes of the blobs that a manifest names, by their hex digits.
  private static func sizes(_ path: String) throws(RunFolderFailure) -> [String: Int64] {
    struct Blob: Decodable {
      var digest: String
      var size: Int64
    }
    struct Group: Decodable {
      var stream: Blob
      var buffers: [Blob]?
    }
    struct Module: Decodable { var source: Blob }
    struct Manifest: Decodable {
      var groups: [Group]?
      var localModules: [Module]?
    }
    guard let bytes = Files.read(path),
      let manifest = try? JSONDecoder().decode(Manifest.self, from: Data(bytes))
    else { throw .checkpoint("the checkpoint's manifest is corrupt: it isn't JSON of the checkpoint format") }
    var sizes: [String: Int64] = [:]
    func add(_ blob: Blob) { sizes[String(blob.digest.split(separator: ":").last ?? "")] = blob.size }
    for group in manifest.groups ?? [] {
      add(group.stream)
      for buffer in group.buffers ?? [] { add(buffer) }
    }
    for module in manifest.localModules ?? [] { add(module.source) }
    return sizes
  }
}

enum RunFolderFailure: Error {
  /// The checkpoint isn't whole.
  case checkpoint(String)
  case system(SystemFailure)
}

/// What is written to `host.json`: enough to find a host, or what is left of it, after a restart of the
/// service.
struct HostRecord: Codable, Sendable {
  var launch: NodeLaunch
  var python: String
  var pythonPath: String
  var sandboxed: Bool
  /// The process that was started: `bwrap`, or the zygote itself without a sandbox.
  var outerPid: Int32
  var outerTicks: UInt64
  /// The zygote as seen from outside; nil until it has answered.
  var zygotePid: Int32?
  var zygoteTicks: UInt64?
  /// The node's group; nil without cgroups.
  var group: Cgroup?

  static func read(_ folder: RunFolder) -> HostRecord? {
    Files.read(folder.record).flatMap { try? JSONDecoder().decode(HostRecord.self, from: Data($0)) }
  }

  func write(_ folder: RunFolder) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    try Files.write(Array(try encoder.encode(self)), to: folder.record)
  }
}

/// `zygote.json` of the worker protocol.
struct ZygoteConfiguration: Encodable {
  var node: NodeID
  var release: Int
  var manifest: String
  var blobs: String
  var sockets: String
  var log: String
  var inputs: [Variable]
  var outputs: [Variable]
  var isolation: NodeLaunch.Isolation
  var timeoutSeconds: Double
  var startMode: NodeLaunch.StartMode
  var restore: NodeLaunch.Restore
  var keepRandomState: Bool
  var cpus: Double
  var network: NodeLaunch.Subnet
  var maxAnswerBytes: Int
  var maxLogLineBytes: Int
  var warmUp: NodeLaunch.WarmUp
  var example: String?

  /// - Parameter sandboxed: paths are those of the sandbox, not of the machine.
  init(_ launch: NodeLaunch, folder: RunFolder, sandboxed: Bool, maxAnswerBytes: Int, maxLogLineBytes: Int) {
    node = launch.node
    release = launch.release
    manifest = sandboxed ? "/run/roost/manifest.json" : folder.manifest
    blobs = sandboxed ? "/run/roost/blobs" : folder.blobs
    sockets = sandboxed ? "/run/roost/sock" : folder.sockets
    log = sandboxed ? "/run/roost/log/node.jsonl" : folder.log
    inputs = launch.inputs
    outputs = launch.outputs
    isolation = launch.isolation
    timeoutSeconds = Double(launch.timeoutMilliseconds) / 1000
    startMode = launch.startMode
    restore = launch.restore
    keepRandomState = launch.keepRandomState
    cpus = launch.cpus
    network = launch.subnet
    self.maxAnswerBytes = maxAnswerBytes
    self.maxLogLineBytes = maxLogLineBytes
    warmUp = launch.example == nil ? .off : launch.warmUp ?? .off
    example = launch.example
  }
}
