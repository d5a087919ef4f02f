import Glibc

/// The controllers whose limits instances get.
public enum CgroupController: String, Sendable, Codable, CaseIterable { case cpu, memory, pids }

/// The cgroups below the one this process runs in, under one folder of a given name.
///
/// Version 1 has one hierarchy per controller, each mounted apart; version 2 has one for all. Both are
/// handled by writing the same few files, so that callers see groups with limits only.
public struct CgroupTree: Sendable, Equatable {
  public enum Version: Int, Sendable, Codable {
    case v1 = 1
    case v2 = 2
  }

  public let version: Version
  /// Folder in which this tree lies, by controller. Only controllers that can be written to.
  public let folders: [CgroupController: String]
  /// Why a controller isn't among `folders`.
  public let missing: [CgroupController: String]

  public init(
    version: Version, folders: [CgroupController: String], missing: [CgroupController: String] = [:]
  ) {
    self.version = version
    self.folders = folders
    self.missing = missing
  }

  /// Finds where this process may make groups, and makes the folder `name` there.
  ///
  /// - Parameter name: unique per data folder, so that two services don't touch each other's groups.
  public static func detect(name: String) -> CgroupTree {
    let places = places
    if let unified = places.unified,
      (Files.readText("\(unified)/cgroup.controllers") ?? "").split(whereSeparator: \.isWhitespace)
        .contains("memory")
    {
      return makeUnified(base: unified, name: name)
    }
    return makeSeparate(places, name: name)
  }

  private static var places: CgroupPlaces {
    CgroupPlaces(
      mounts: Files.readText("/proc/self/mountinfo") ?? "",
      membership: Files.readText("/proc/self/cgroup") ?? "")
  }

  /// Bytes of memory that this process can have: those of the machine, or fewer where the group that it runs in has a limit.
  public static func ownMemory() -> Int64 {
    let places = places
    let unified = places.unified.flatMap { Cgroup(version: .v2, folders: [.memory: $0]).memoryLimit }
    let separate = places.separate[.memory].flatMap {
      Cgroup(version: .v1, folders: [.memory: $0]).memoryLimit
    }
    return [unified, separate].compactMap(\.self).reduce(ProcFS.machineMemory().total, min)
  }

  private static func makeSeparate(_ places: CgroupPlaces, name: String) -> CgroupTree {
    var folders: [CgroupController: String] = [:]
    var missing: [CgroupController: String] = [:]
    for controller in CgroupController.allCases {
      guard let base = places.separate[controller] else {
        missing[controller] = "the controller '\(controller.rawValue)' isn't mounted"
        continue
      }
      do {
        try Files.makeFolder("\(base)/\(name)", mode: 0o755)
        folders[controller] = "\(base)/\(name)"
      } catch {
        missing[controller] = "no group can be made: \(error)"
      }
    }
    return CgroupTree(version: .v1, folders: folders, missing: missing)
  }

  /// Groups with members can't have controllers for their children (version 2): this process moves to a leaf
  /// first.
  private static func makeUnified(base: String, name: String) -> CgroupTree {
    var folders: [CgroupController: String] = [:]
    var missing: [CgroupController: String] = [:]
    do {
      try Files.makeFolder("\(base)/\(name)", mode: 0o755)
    } catch {
      for controller in CgroupController.allCases { missing[controller] = "no group can be made: \(error)" }
      return CgroupTree(version: .v2, folders: [:], missing: missing)
    }
    for controller in CgroupController.allCases {
      do throws(SystemFailure) {
        let switches = "\(base)/cgroup.subtree_control"
        do throws(SystemFailure) {
          try Files.write("+\(controller.rawValue)", toKernelFile: switches)
        } catch  where error.code == EBUSY {
          try Files.makeFolder("\(base)/roost-service", mode: 0o755)
          try Files.write("\(getpid())", toKernelFile: "\(base)/roost-service/cgroup.procs")
          try Files.write("+\(controller.rawValue)", toKernelFile: switches)
        }
        try Files.write("+\(controller.rawValue)", toKernelFile: "\(base)/\(name)/cgroup.subtree_control")
        folders[controller] = "\(base)/\(name)"
      } catch {
        missing[controller] = "not delegated to this user: \(error)"
      }
    }
    return CgroupTree(version: .v2, folders: folders, missing: missing)
  }

  /// A group of this tree, which may not exist yet.
  public func group(_ path: String) -> Cgroup {
    Cgroup(version: version, folders: folders.mapValues { "\($0)/\(path)" })
  }

  /// Names of the groups at the top of the tree.
  public func groups() -> [String] {
    Set(folders.values).reduce(into: Set<String>()) { names, folder in
      names.formUnion(Files.list(folder).filter { Files.exists("\(folder)/\($0)/cgroup.procs") })
    }.sorted()
  }

  /// Removes the folder of the tree when nothing is in it.
  public func removeIfEmpty() {
    for folder in Set(folders.values) { rmdir(folder) }
  }
}

/// Where the kernel says this process is, as folders.
struct CgroupPlaces {
  /// Own group in the hierarchies of version 1.
  var separate: [CgroupController: String] = [:]
  /// Own group in the hierarchy of version 2.
  var unified: String?

  /// - Parameters:
  ///   - mounts: text of `/proc/self/mountinfo`.
  ///   - membership: text of `/proc/self/cgroup`.
  init(mounts: String, membership: String) {
    var own: [String: String] = [:]
    for line in membership.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      if parts[0] == "0" && parts[1].isEmpty { own["unified"] = String(parts[2]) }
      for controller in parts[1].split(separator: ",") { own[String(controller)] = String(parts[2]) }
    }
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash + 3 < fields.count, fields.count > 5 else { continue }
      let root = String(fields[3])
      let point = String(fields[4])
      switch fields[dash + 1] {
      case "cgroup2":
        if unified == nil, let path = own["unified"] { unified = Self.folder(path, root: root, point: point) }
      case "cgroup":
        for option in fields[dash + 3].split(separator: ",") {
          guard let controller = CgroupController(rawValue: String(option)), separate[controller] == nil,
            let path = own[controller.rawValue]
          else { continue }
          separate[controller] = Self.folder(path, root: root, point: point)
        }
      default: break
      }
    }
  }

  /// In a container only a part of the hierarchy may be mounted: `root` is what `point` shows.
  private static func folder(_ path: String, root: String, point: String) -> String {
    if path.hasPrefix("/..") || path == "/" { return point }
    if root == "/" { return point + path }
    return path.hasPrefix(root) ? point + path.dropFirst(root.count) : point
  }
}
