public import Domain
public import DriverAPI
import FoundationEssentials
import Glibc
import Sandboxing
import Synchronization

/// Makes environments with `uv` in a sandbox of its own: `resolve`, `install`, `finish` (`roost/environment/steps.py`).
///
/// Builds may be asked for at the same time; they run one after another.
public final class EnvironmentBuilder: EnvironmentMaker {
  let configuration: EnvironmentConfiguration
  let folders: EnvironmentFolders
  let tree: CgroupTree
  let bubblewrap: String?
  let bubblewrapTrouble: String?
  private let gate = Gate()
  let state = Mutex(State())

  struct State {
    var progress: [EnvironmentID: String] = [:]
    var cancelled: Set<EnvironmentID> = []
    var running: [EnvironmentID: ProcessHandle] = [:]
    var interpreters: [String: Found] = [:]
    /// With the folders it was read of, and their stamps: packages may be added while the service runs.
    var standard: (built: BuiltEnvironment, stamps: [String: Int64])?
  }

  /// What an interpreter says of itself.
  struct Found: Sendable {
    var executable: String
    var version: String
    var prefixes: [String]
  }

  /// Looks at what this machine can enforce (starts `bwrap` once).
  ///
  /// - Parameter treeName: that of the service's cgroups.
  public init(configuration: EnvironmentConfiguration, treeName: String) {
    self.configuration = configuration
    folders = EnvironmentFolders(dataFolder: configuration.dataFolder)
    tree = CgroupTree.detect(name: treeName)
    bubblewrap = Files.findExecutable("bwrap")
    bubblewrapTrouble = configuration.sandboxed ? Bubblewrap.trouble(bubblewrap) : nil
  }

  /// Interpreter of an environment.
  public static func python(_ digest: String, dataFolder: String) -> String {
    EnvironmentFolders(dataFolder: dataFolder).ready(digest) + "/bin/python"
  }

  /// Files of an environment that was made of an image.
  public static func root(_ digest: String, dataFolder: String) -> String {
    EnvironmentFolders(dataFolder: dataFolder).ready(digest) + "/root"
  }

  /// The facts of an environment that is there.
  public static func facts(_ digest: String, dataFolder: String) -> BuiltEnvironment? {
    Files.read(EnvironmentFolders(dataFolder: dataFolder).facts(digest)).flatMap {
      try? JSONDecoder().decode(BuiltEnvironment.self, from: Data($0))
    }
  }

  // MARK: Building

  public func build(_ order: EnvironmentOrder) async throws(PlatformError) -> BuiltEnvironment {
    say(order.id, "waiting for another build")
    await gate.enter()
    let result: Result<BuiltEnvironment, PlatformError>
    do throws(PlatformError) {
      if let image = order.image {
        result = .success(try await ImageRun(builder: self, order: order).run(image))
      } else {
        result = .success(
          try await offload { () throws(PlatformError) in try BuildRun(builder: self, order: order).run() })
      }
    } catch { result = .failure(error) }
    await gate.leave()
    let wasCancelled = state.withLock { state in
      state.progress[order.id] = nil
      state.running[order.id] = nil
      return state.cancelled.remove(order.id) != nil
    }
    if wasCancelled { throw PlatformError(.cancelled, "the build was cancelled", origin: .caller) }
    return try result.get()
  }

  func say(_ id: EnvironmentID, _ words: String) { state.withLock { $0.progress[id] = words } }

  public func cancel(_ id: EnvironmentID) {
    let process = state.withLock { state in
      if state.progress[id] != nil { state.cancelled.insert(id) }
      return state.running[id]
    }
    if let process, !process.hasEnded { kill(-process.pid, SIGKILL) }
  }

  func isCancelled(_ id: EnvironmentID) -> Bool { state.withLock { $0.cancelled.contains(id) } }

  public func progress(of id: EnvironmentID) async -> String? { state.withLock { $0.progress[id] } }

  public func has(_ digest: String) async -> Bool { Files.exists(folders.facts(digest)) }

  /// The facts of an environment that is there.
  func facts(_ digest: String) -> BuiltEnvironment? {
    Self.facts(digest, dataFolder: configuration.dataFolder)
  }

  public func forget(_ id: EnvironmentID) async {
    await offload {
      Files.removeTree(self.folders.log(id))
      self.removeReadOnly(self.folders.building(id))
    }
  }

  public func sweep(keeping digests: Set<String>) async {
    await gate.enter()
    await offload {
      for name in Files.list(self.folders.building) {
        BuildRun.endLeftOver("\(self.folders.building)/\(name)")
        self.removeReadOnly("\(self.folders.building)/\(name)")
      }
      for name in Files.list(self.folders.ready) where !digests.contains(name) {
        self.configuration.log("environment \(name): removed, nothing uses it")
        // Out of the way in one step: half an environment must never be found.
        let grave = "\(self.folders.building)/\(name)"
        if rename("\(self.folders.ready)/\(name)", grave) == 0 { self.removeReadOnly(grave) }
      }
    }
    await gate.leave()
  }

  /// Removes a tree whose folders may be read only.
  func removeReadOnly(_ path: String) {
    FileTree.makeWritable(path)
    Files.removeTree(path)
  }

  // MARK: Logs

  public func log(
    of id: EnvironmentID, after cursor: String?, tail: Int
  ) async throws(PlatformError) -> LogPage {
    let bytes = Files.read(folders.log(id)) ?? []
    var start = 0
    if let cursor {
      guard let at = Int(cursor), (0...Int.max / 2).contains(at) else {
        throw .invalid("after", "after: '\(cursor)' is not from an earlier answer")
      }
      start = min(at, bytes.count)
    }
    // Only whole lines: the rest of one that is being written comes with the next page.
    let end = bytes[start...].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? start
    var lines = bytes[start..<end].split(separator: UInt8(ascii: "\n"))
    if cursor == nil { lines = Array(lines.suffix(tail)) }
    return LogPage(
      lines: lines.compactMap { try? JSONDecoder().decode(LogLine.self, from: Data($0)) },
      cursor: String(end))
  }
}

/// Lets one build at a time run.
private actor Gate {
  private var isBusy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func enter() async {
    guard isBusy else {
      isBusy = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  func leave() {
    guard !waiting.isEmpty else {
      isBusy = false
      return
    }
    waiting.removeFirst().resume()
  }
}
