"""Stages that come with curator-slurm: readers, writers, filters, de-duplication, video and audio.

Names and arguments are NeMo Curator's where it has the same stage; docs/stages.md lists the differences. Importing
this package imports neither pandas, Arrow nor Ray, nor what decodes video and audio. It may import the ground floor
and `common`.
"""

from curator_slurm.executors.stages.audio.audio_documents import AudioToDocumentStage
from curator_slurm.executors.stages.audio.manifest_reader import (
    AudioFilesStage,
    AudioReader,
    ManifestEntryStage,
    ManifestReader,
    ManifestReaderStage,
)
from curator_slurm.executors.stages.audio.measure import (
    GetAudioDurationStage,
    GetAudioLevelStage,
    PreserveByValueStage,
)
from curator_slurm.executors.stages.audio.resample import ResampleAudioStage
from curator_slurm.executors.stages.audio.segments import SegmentExtractionStage, SilenceSegmentationStage
from curator_slurm.executors.stages.deduplication.exact_dedup import (
    DropDuplicates,
    ExactDeduplicationPipeline,
    HashDocuments,
)
from curator_slurm.executors.stages.deduplication.fuzzy_dedup import DropNearDuplicates, FuzzyDeduplicationPipeline
from curator_slurm.executors.stages.deduplication.lsh import MatchBands, MergeEdges
from curator_slurm.executors.stages.deduplication.minhash import HashBands
from curator_slurm.executors.stages.deduplication.verification import CollectCandidates, VerifyCandidates
from curator_slurm.executors.stages.filters.document_filter import DocumentFilter, DocumentModifier
from curator_slurm.executors.stages.filters.lines import (
    BoilerPlateStringFilter,
    BulletsFilter,
    EllipsisFilter,
    PunctuationFilter,
)
from curator_slurm.executors.stages.filters.map_filter import FilterStage, MapStage
from curator_slurm.executors.stages.filters.modifiers import (
    BoilerPlateStringModifier,
    LineRemover,
    MarkdownRemover,
    NewlineNormalizer,
    QuotationRemover,
    Slicer,
    UrlRemover,
)
from curator_slurm.executors.stages.filters.modify import AddId, Modify
from curator_slurm.executors.stages.filters.quality import (
    CommonEnglishWordsFilter,
    LongWordFilter,
    MeanWordLengthFilter,
    NonAlphaNumericFilter,
    NumbersFilter,
    ParenthesesFilter,
    PornographicUrlsFilter,
    SubstringFilter,
    SymbolsToWordsFilter,
    UrlsFilter,
    WhiteSpaceFilter,
    WordCountFilter,
    WordsWithoutAlphabetsFilter,
)
from curator_slurm.executors.stages.filters.repetition import (
    RepeatedLinesByCharFilter,
    RepeatedLinesFilter,
    RepeatedParagraphsByCharFilter,
    RepeatedParagraphsFilter,
    RepeatingDuplicateNGramsFilter,
    RepeatingTopNGramsFilter,
)
from curator_slurm.executors.stages.filters.score_filter import Filter, Score, ScoreFilter
from curator_slurm.executors.stages.io.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.io.id_generator import (
    CURATOR_DEDUP_ID_STR,
    create_id_generator_actor,
    get_id_generator_actor,
    kill_id_generator_actor,
    write_id_generator_to_disk,
)
from curator_slurm.executors.stages.io.jsonl_reader import JsonlReader, JsonlReaderStage
from curator_slurm.executors.stages.io.jsonl_writer import JsonlWriter
from curator_slurm.executors.stages.io.multi_writer import MultiWriter
from curator_slurm.executors.stages.io.parquet_reader import ParquetReader, ParquetReaderStage
from curator_slurm.executors.stages.io.parquet_writer import ParquetWriter
from curator_slurm.executors.stages.io.text_reader import TextReader, TextReaderStage
from curator_slurm.executors.stages.io.text_writer import TextWriter
from curator_slurm.executors.stages.statistics import DocumentStatistics, summarize
from curator_slurm.executors.stages.video.clip_frames import ClipFrameExtractionStage, ClipQualityFilterStage
from curator_slurm.executors.stages.video.clip_spans import FixedStrideExtractorStage, SceneChangeExtractorStage
from curator_slurm.executors.stages.video.clip_writer import ClipWriter
from curator_slurm.executors.stages.video.motion import MotionFilterStage, MotionVectorDecodeStage
from curator_slurm.executors.stages.video.transcoding import ClipTranscodingStage
from curator_slurm.executors.stages.video.video_reader import VideoReader, VideoReaderStage

__all__ = [
    "CURATOR_DEDUP_ID_STR",
    "AddId",
    "AudioFilesStage",
    "AudioReader",
    "AudioToDocumentStage",
    "BoilerPlateStringFilter",
    "BoilerPlateStringModifier",
    "BulletsFilter",
    "ClipFrameExtractionStage",
    "ClipQualityFilterStage",
    "ClipTranscodingStage",
    "ClipWriter",
    "CollectCandidates",
    "CommonEnglishWordsFilter",
    "DocumentFilter",
    "DocumentModifier",
    "DocumentStatistics",
    "DropDuplicates",
    "DropNearDuplicates",
    "EllipsisFilter",
    "ExactDeduplicationPipeline",
    "FilePartitioningStage",
    "Filter",
    "FilterStage",
    "FixedStrideExtractorStage",
    "FuzzyDeduplicationPipeline",
    "GetAudioDurationStage",
    "GetAudioLevelStage",
    "HashBands",
    "HashDocuments",
    "JsonlReader",
    "JsonlReaderStage",
    "JsonlWriter",
    "LineRemover",
    "LongWordFilter",
    "ManifestEntryStage",
    "ManifestReader",
    "ManifestReaderStage",
    "MapStage",
    "MarkdownRemover",
    "MatchBands",
    "MeanWordLengthFilter",
    "MergeEdges",
    "Modify",
    "MotionFilterStage",
    "MotionVectorDecodeStage",
    "MultiWriter",
    "NewlineNormalizer",
    "NonAlphaNumericFilter",
    "NumbersFilter",
    "ParenthesesFilter",
    "ParquetReader",
    "ParquetReaderStage",
    "ParquetWriter",
    "PornographicUrlsFilter",
    "PreserveByValueStage",
    "PunctuationFilter",
    "QuotationRemover",
    "RepeatedLinesByCharFilter",
    "RepeatedLinesFilter",
    "RepeatedParagraphsByCharFilter",
    "RepeatedParagraphsFilter",
    "RepeatingDuplicateNGramsFilter",
    "RepeatingTopNGramsFilter",
    "ResampleAudioStage",
    "SceneChangeExtractorStage",
    "Score",
    "ScoreFilter",
    "SegmentExtractionStage",
    "SilenceSegmentationStage",
    "Slicer",
    "SubstringFilter",
    "SymbolsToWordsFilter",
    "TextReader",
    "TextReaderStage",
    "TextWriter",
    "UrlRemover",
    "UrlsFilter",
    "VerifyCandidates",
    "VideoReader",
    "VideoReaderStage",
    "WhiteSpaceFilter",
    "WordCountFilter",
    "WordsWithoutAlphabetsFilter",
    "create_id_generator_actor",
    "get_id_generator_actor",
    "kill_id_generator_actor",
    "summarize",
    "write_id_generator_to_disk",
]
