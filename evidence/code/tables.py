"""The names of functions and classes whose meaning the code rules know."""

import re
from typing import Final

from ml_intern.evidence.code.values import SELECTORS, Role
from ml_intern.text.word_table import words

SCALERS: Final = words(
    "StandardScaler MinMaxScaler RobustScaler MaxAbsScaler QuantileTransformer PowerTransformer PCA KernelPCA "
    "IncrementalPCA SparsePCA TruncatedSVD NMF FastICA FactorAnalysis SimpleImputer KNNImputer IterativeImputer "
    "TfidfVectorizer TfidfTransformer KBinsDiscretizer Nystroem SplineTransformer"
)
SAVES: Final = words("save savetxt savez dump to_csv write_csv to_parquet to_json save_to_disk tofile")
SAVES_MODELS: Final = words("save dump dumps save_model save_pretrained")
LAZY: Final = words(
    "map filter rename_column rename_columns remove_columns with_format set_format cast_column cast shuffle select "
    "flatten class_encode_column with_transform sort select_columns flatten_indices "
    "add_column align_labels_with_mapping"
)
HARMLESS: Final = words(
    "LabelEncoder LabelBinarizer OrdinalEncoder OneHotEncoder MultiLabelBinarizer FunctionTransformer Normalizer "
    "PolynomialFeatures HashingVectorizer Binarizer CountVectorizer DictVectorizer VarianceThreshold "
    "FeatureHasher ColumnTransformer FeatureUnion"
)
SAMPLERS: Final = words(
    "SMOTE ADASYN BorderlineSMOTE SVMSMOTE KMeansSMOTE SMOTENC SMOTEN RandomOverSampler SMOTEENN SMOTETomek"
)
OTHER_CLASSIFIERS: Final = words(
    "LogisticRegression LogisticRegressionCV SVC LinearSVC NuSVC GaussianNB MultinomialNB BernoulliNB "
    "ComplementNB CategoricalNB Perceptron RidgeClassifierCV LinearDiscriminantAnalysis "
    "QuadraticDiscriminantAnalysis NearestCentroid CalibratedClassifierCV"
)
REGRESSORS: Final = words(
    "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV SVR LinearSVR NuSVR BayesianRidge "
    "ARDRegression Lars LassoLars TheilSenRegressor KernelRidge OneClassSVM IsolationForest LocalOutlierFactor "
    "KMeans GaussianMixture"
)
WRAPPERS: Final = words(
    "Pipeline make_pipeline GridSearchCV RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV "
    "BayesSearchCV CalibratedClassifierCV OneVsRestClassifier OneVsOneClassifier BaggingClassifier "
    "AdaBoostClassifier ColumnTransformer make_column_transformer FeatureUnion make_union "
    "TransformedTargetRegressor clone deepcopy MultiOutputClassifier VotingClassifier StackingClassifier "
    "SelectFromModel RFE RFECV TunedThresholdClassifierCV ImbPipeline"
)
NETWORKS: Final = words(
    "Sequential create_model resnet18 resnet34 resnet50 resnet101 vgg16 mobilenet_v2 efficientnet_b0 densenet121 "
    "vit_b_16 from_pretrained from_config get_peft_model TabNetClassifier SentenceTransformer CrossEncoder "
    "SetFitModel DataParallel compile_model"
)
MODEL_BASES: Final = words(
    "Module LightningModule BaseEstimator ClassifierMixin RegressorMixin PreTrainedModel Model TransformerMixin"
)
FITS: Final = words("fit partial_fit fit_transform fit_predict fit_resample train_on_batch fit_generator")
TRANSFORMS: Final = words("transform fit_transform inverse_transform")
PREDICTS: Final = words(
    "predict predict_proba decision_function predict_log_proba generate score_samples fit_predict forward "
    "predict_on_batch predict_classes staged_predict encode"
)
SCORERS: Final = words("score evaluate")
IN_UNITS: Final = words(
    "mean_squared_error root_mean_squared_error mean_absolute_error median_absolute_error max_error mse_loss l1_loss"
)
"""Errors in the unit of the targets, or its square."""
RESCALERS: Final = words("StandardScaler MinMaxScaler RobustScaler MaxAbsScaler QuantileTransformer PowerTransformer")
LOGARITHMS: Final = words("log log1p log10 log2")
EXPONENTIALS: Final = words("exp expm1")
SHARES: Final = words("accuracy_score balanced_accuracy_score top_k_accuracy_score")
RANKED: Final = words("roc_auc_score average_precision_score roc_curve precision_recall_curve RocCurveDisplay")
METRICS: Final = (
    words(
        "f1_score precision_score recall_score fbeta_score log_loss brier_score_loss mean_squared_error "
        "root_mean_squared_error mean_absolute_error median_absolute_error r2_score matthews_corrcoef "
        "cohen_kappa_score classification_report confusion_matrix hamming_loss jaccard_score zero_one_loss "
        "explained_variance_score mean_absolute_percentage_error precision_recall_fscore_support "
        "d2_absolute_error_score max_error auc cross_entropy binary_cross_entropy binary_cross_entropy_with_logits "
        "mse_loss nll_loss l1_loss smooth_l1_loss corpus_bleu sentence_bleu ndcg_score mean_pinball_loss accuracy "
        "spearmanr pearsonr"
    )
    | SHARES
    | RANKED
)
CROSS_VALIDATIONS: Final = words("cross_val_score cross_validate cross_val_predict")
TRAINERS: Final = re.compile(r"^[A-Za-z0-9]*Trainer$")
SPLITTERS: Final = words(
    "KFold StratifiedKFold GroupKFold StratifiedGroupKFold RepeatedKFold RepeatedStratifiedKFold ShuffleSplit "
    "StratifiedShuffleSplit GroupShuffleSplit TimeSeriesSplit LeaveOneOut LeaveOneGroupOut LeavePOut"
)
AGGREGATES: Final = words("mean sum average nanmean sqrt item exp log round float abs fmean nansum norm")
STATISTICS: Final = words("mean std median var quantile percentile nanmean nanstd nanmedian describe")
REDUCTIONS: Final = STATISTICS | words(
    "min max sum mode bincount unique value_counts count nunique any all prod cumsum shift roll diff permutation "
    "shuffle choice Counter cov ptp argmin argmax sorted set"
)
FORGETS: Final = words(
    "len shape range zeros ones zeros_like ones_like full full_like empty empty_like isinstance type id hash "
    "HfArgumentParser ArgumentParser parse_args parse_known_args parse_args_into_dataclasses SimpleNamespace "
    "arange print perf_counter time head info dtype ndim size hasattr set Counter eye"
)
SOLVERS: Final = words("lstsq polyfit curve_fit")
JOINS: Final = words("concatenate vstack concat cat r_ append row_stack concatenate_datasets ConcatDataset chain")
WIDENS: Final = words("hstack column_stack c_ dstack")
KEEPS: Final = words(
    "to cuda cpu float double half long int bool astype copy detach clone contiguous numpy toarray todense tolist "
    "to_numpy reset_index requires_grad_ pin_memory"
)
REPEATS: Final = words("tile repeat repeat_interleave resample")
SCALES: Final = words("zscore minmax_scale robust_scale maxabs_scale power_transform quantile_transform")
"""Functions that scale rows by statistics of all of them."""
RELATES: Final = words("corrwith corr corrcoef mutual_info_classif mutual_info_regression f_classif f_regression chi2")
"""Functions that relate columns to the target, or to each other."""
CHOOSES: Final = words(
    "max min argmax argmin nanargmax nanargmin idxmax idxmin sorted sort nlargest nsmallest sort_values argsort"
)
IMPORTANCES: Final = words(
    "feature_importances_ coef_ ranking_ support_ scores_ pvalues_ get_support get_feature_names_out"
)
"""Attributes and methods of fitted models and selectors that describe columns."""
ORDERS: Final = words("sorted sort sort_values argsort")
"""Calls that only order; taking a part of the result is a choice."""
INDEXES: Final = words("arange range permutation randperm")
SEEDS: Final = words(
    "seed manual_seed manual_seed_all set_seed seed_everything set_random_seed enable_full_determinism"
)
SEED_NAMES: Final = re.compile(r"(?i)^(?:\w*_)?(?:seed|random_state|rng_seed)$")
READ_MODE: Final = re.compile(r"^[rbtU]*\+?$")
_DATA_FILE: Final = re.compile(
    r"(?i)\.(?:csv|tsv|jsonl?|parquet|txt|np[yz]|pkl|pickle|pt|pth|arff|h5|hdf5|feather|xlsx?|arrow|libsvm|svm|data|train|"
    r"test|zip|gz|xz|bz2|joblib)$"
)
_TEST: Final = words("test testing heldout holdout tst te unseen")
_TRAIN: Final = words("train training trn tr")
_VALID: Final = words("val valid validation dev eval vl va cv calib calibration tune")
_ROLE_WORDS: Final[tuple[tuple[Role, frozenset[str]], ...]] = (("train", _TRAIN), ("valid", _VALID), ("test", _TEST))
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def is_data_file(text: str) -> bool:
    """Return whether a text is the path of a file that usually holds data."""
    return len(text) < 300 and "\n" not in text and _DATA_FILE.search(text) is not None


def is_classifier(name: str) -> bool:
    """Return whether `predict` of this class returns hard labels."""
    return name in OTHER_CLASSIFIERS or (name.endswith(("Classifier", "ClassifierCV")) and name != "TabNetClassifier")


def is_estimator(name: str) -> bool:
    """Return whether this class is an estimator of scikit-learn or a library with its interface."""
    known = name in REGRESSORS or name in SCALERS or name in SELECTORS or name in HARMLESS or name in SAMPLERS
    return known or is_classifier(name) or name.endswith("Regressor")


def role_of(name: str) -> Role:
    """Return the role that the words of an identifier or a file name state; "" without one or with several."""
    found = {part.lower() for part in _WORDS.findall(name)}
    roles = [role for role, known in _ROLE_WORDS if found & known]
    return roles[0] if len(roles) == 1 else ""
