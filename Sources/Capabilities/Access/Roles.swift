public import Domain

/// What somebody wants to do in a folder.
public enum Permission: String, Sendable, CaseIterable {
  /// Read resources, logs and metrics.
  case view
  /// Call nodes.
  case call
  /// Upload checkpoints; make, change and delete nodes.
  case develop
  /// Make and change folders and projects.
  case edit
  /// Give roles, make service accounts and tokens for others.
  case administer
}

/// A role on a folder. viewer < developer < editor < admin; `datasphere.user` stands beside and may only call
/// nodes.
public enum Role: String, Sendable, Codable, CaseIterable {
  case viewer, developer, editor, admin
  case user = "datasphere.user"

  /// Throws `invalidArgument` that lists the roles when there is none of this name.
  public static func named(_ name: String, field: String = "role") throws(PlatformError) -> Role {
    if let role = Role(rawValue: name) { return role }
    let known = allCases.map(\.rawValue).joined(separator: ", ")
    throw .invalid(field, "\(field): '\(name)' is not a role; use one of \(known)")
  }

  public func allows(_ permission: Permission) -> Bool {
    switch (self, permission) {
    case (.user, .call): true
    case (.user, _): false
    case (_, .view): true
    case (.viewer, _): false
    case (_, .call), (_, .develop): true
    case (.developer, _): false
    case (_, .edit): true
    case (.editor, _): false
    case (.admin, .administer): true
    }
  }
}

/// A role that a subject has on a folder.
public struct RoleBinding: Sendable, Hashable, Codable {
  /// Service account id.
  public var subject: String
  public var role: Role
  public var folderID: FolderID

  public init(subject: String, role: Role, folderID: FolderID) {
    self.subject = subject
    self.role = role
    self.folderID = folderID
  }

  /// Does one of the bindings let the subject do this in the folder?
  public static func allows(
    _ permission: Permission, subject: String, folder: FolderID, in bindings: [RoleBinding]
  ) -> Bool {
    bindings.contains { $0.subject == subject && $0.folderID == folder && $0.role.allows(permission) }
  }

  /// Throws `permissionDenied` that names the least role which would do.
  public static func require(
    _ permission: Permission, subject: String, folder: FolderID, in bindings: [RoleBinding]
  ) throws(PlatformError) {
    guard !allows(permission, subject: subject, folder: folder, in: bindings) else { return }
    let least = permission == .call ? Role.user : Role.allCases.first { $0.allows(permission) } ?? .admin
    throw PlatformError(
      .permissionDenied,
      "\(subject) may not \(permission.rawValue) in folder \(folder): ask for the role \(least.rawValue) on it",
      origin: .caller)
  }
}
