/// Every command, in the order of the help.
enum CommandTree {
  static let all: [Command] = [
    Serve.command, Upgrade.command, Doctor.command, NotebookRun.command, NotebookInstall.command,
    CheckpointList.command, CheckpointShow.command, CheckpointPin.command, CheckpointUnpin.command,
    CheckpointRename.command, CheckpointDelete.command,
    ModelUpload.command, ModelList.command, ModelShow.command, ModelDownload.command, ModelDelete.command,
    NodeCreate.command, NodeValidate.command, NodeList.command, NodeDescribe.command, NodeCall.command,
    NodeAPI.command, NodeLogs.command, NodeInstances.command, NodeScaling.command, NodeUpdate.command,
    NodeHistory.command, NodeRollback.command, NodeGet.command, Apply.command, Diff.command,
    NodeReplace.command, NodeReset.command,
    NodeSuspend.command,
    NodeResume.command, NodeDelete.command,
    AliasCreate.command, AliasList.command, AliasDescribe.command, AliasGet.command, AliasCall.command,
    AliasUpdate.command, AliasRamp.command, AliasPause.command, AliasResume.command, AliasPromote.command,
    AliasAbort.command, AliasHold.command, AliasMirror.command, AliasRecord.command, AliasReplay.command,
    AliasDelete.command, Drill.command,
    InstanceList.command, InstanceShow.command, Top.command,
    EnvironmentCreate.command, EnvironmentList.command, EnvironmentGet.command, EnvironmentCheck.command,
    EnvironmentLogs.command, EnvironmentDelete.command,
    OperationList.command, OperationShow.command, OperationWait.command, OperationCancel.command,
    TokenCreate.command, TokenList.command, TokenRevoke.command,
    FolderList.command, FolderCreate.command, ProjectList.command, ProjectCreate.command,
    ProjectUpdate.command,
    ServiceAccountList.command, ServiceAccountCreate.command, ServiceAccountGrant.command,
    ServiceAccountDelete.command, KeyCreate.command, KeyList.command, KeyDelete.command,
    APIKeyCreate.command, APIKeyList.command, APIKeyDelete.command,
    SecretCreate.command, SecretList.command, SecretGet.command, SecretUpdate.command, SecretDelete.command,
    SecretRotateKey.command, SecretImport.command,
    ZoneList.command, ZoneShow.command, SubnetCreate.command, SubnetList.command, SubnetShow.command,
    SubnetDelete.command,
    ConfigurationList.command, ProfileSet.command, ProfileUse.command, ProfileList.command,
    Explain.command, VersionShow.command, CompletionShow.command, HelpShow.command, CompletionWords.command,
  ]

  static var visible: [Command] { all.filter { !$0.isHidden } }

  /// What a noun is about, in the order of the help.
  static let nouns: [(name: String, summary: String)] = [
    ("serve", "run the platform"), ("upgrade", "have another process take over without a gap"),
    ("doctor", "what this machine can do and what is missing"),
    ("notebook", "execute notebooks, install the kernel"), ("checkpoint", "saved states of interpreters"),
    ("model", "saved models"),
    ("node", "cells behind an API"), ("alias", "stable names in front of nodes"),
    ("drill", "see that an alias loses nothing when things break"),
    ("instance", "running copies of nodes"),
    ("environment", "interpreters and packages of cell nodes"),
    ("top", "what nodes and instances use now"),
    ("apply", "create or change nodes and aliases as files say"), ("diff", "what apply would change"),
    ("operation", "long-running changes"), ("token", "IAM tokens"),
    ("folder", "owners of nodes"), ("project", "owners of notebooks and checkpoints"),
    ("service-account", "principals that are not people"), ("key", "authorized keys of service accounts"),
    ("api-key", "API keys of service accounts"),
    ("secret", "encrypted values for nodes"),
    ("zone", "where instances of image nodes are put"), ("subnet", "networks that image nodes share"),
    ("configuration", "sizes of instances"),
    ("profile", "named servers of yours"), ("explain", "what was done with a recent request"),
    ("version", "versions of this program and of the server"),
    ("completion", "completion for a shell"), ("help", "help about commands and topics"),
  ]

  static func find(_ words: [String]) -> Command? {
    all.first { words.count >= $0.path.count && Array(words.prefix($0.path.count)) == $0.path }
  }

  /// The noun, when the words name no more than a group of commands.
  static func group(_ words: [String]) -> String? {
    guard let noun = words.first, all.contains(where: { $0.path.first == noun && $0.path.count > 1 }) else {
      return nil
    }
    return words.count == 1 ? noun : nil
  }

  static func unknown(_ words: [String]) -> CommandFailure {
    let noun = words.first ?? ""
    let verbs = visible.filter { $0.path.first == noun }.compactMap { $0.path.dropFirst().first }
    if !verbs.isEmpty, words.count > 1 {
      let hint =
        Suggestion.nearest(words[1], among: verbs).map { "; did you mean 'roost \(noun) \($0)'?" } ?? ""
      return CommandFailure(
        .usage, "unknown command 'roost \(noun) \(words[1])'\(hint)",
        details: ["commands: \(verbs.joined(separator: ", "))", "help:  roost \(noun) --help"])
    }
    let hint =
      Suggestion.nearest(noun, among: nouns.map(\.name)).map { "; did you mean 'roost \($0)'?" } ?? ""
    return CommandFailure(.usage, "unknown command '\(noun)'\(hint)", details: ["help:  roost help"])
  }
}
